"""The Files API, used through the real SDK; and paths that try to leave their volume."""

import http.client
import io
from pathlib import Path

import pytest
from databricks.sdk.errors import AlreadyExists, BadRequest, NotFound
from databricks.sdk.service.files import FilesAPI
from sandbox_user import SECONDS, Workspace

FOLDER = "/Volumes/main/default/journal"


@pytest.fixture
def files(workspace: Workspace) -> FilesAPI:
    return workspace.client().files


@pytest.fixture
def volumes(workspace: Workspace) -> Path:
    return Path(workspace.process.config_file).parent / "volumes"


@pytest.mark.parametrize("content", [b"", b"hello", bytes(range(256)) * 10_000])
def test_what_was_uploaded_is_downloaded(files: FilesAPI, volumes: Path, content: bytes) -> None:
    path = f"{FOLDER}/up/a b/ü#?.parquet"
    files.upload(path, io.BytesIO(content), overwrite=True)
    reply = files.download(path)
    assert reply.contents is not None
    assert reply.contents.read() == content
    assert files.get_metadata(path).content_length == len(content)
    assert (volumes / "main/default/journal/up/a b/ü#?.parquet").read_bytes() == content
    assert list((volumes.parent / "unfinished").iterdir()) == []


def test_a_file_too_large_for_one_piece_arrives_whole(files: FilesAPI, volumes: Path) -> None:
    content = b"0123456789abcdef" * (51 * 1024 * 1024 // 16)
    files.upload(f"{FOLDER}/large/file", io.BytesIO(content))
    assert (volumes / "main/default/journal/large/file").read_bytes() == content
    files.delete(f"{FOLDER}/large/file")


def test_overwriting_is_refused_when_asked_to(files: FilesAPI) -> None:
    path = f"{FOLDER}/once/file"
    files.upload(path, io.BytesIO(b"1"), overwrite=True)
    with pytest.raises(AlreadyExists):
        files.upload(path, io.BytesIO(b"2"), overwrite=False)
    reply = files.download(path)
    assert reply.contents is not None
    assert reply.contents.read() == b"1"


def test_directories_are_made_listed_and_removed(files: FilesAPI) -> None:
    folder = f"{FOLDER}/tree"
    files.create_directory(f"{folder}/deep/deeper")
    files.create_directory(f"{folder}/deep/deeper")
    files.upload(f"{folder}/b.txt", io.BytesIO(b"123"))
    found = list(files.list_directory_contents(folder))
    assert [(entry.name, entry.path, entry.is_directory, entry.file_size) for entry in found] == [
        ("b.txt", f"{folder}/b.txt", False, 3),
        ("deep", f"{folder}/deep", True, None),
    ]
    files.get_directory_metadata(folder)
    with pytest.raises(BadRequest, match="not empty"):
        files.delete_directory(folder)
    files.delete_directory(f"{folder}/deep/deeper")
    files.delete_directory(f"{folder}/deep")
    files.delete(f"{folder}/b.txt")
    files.delete_directory(folder)
    with pytest.raises(NotFound):
        files.get_directory_metadata(folder)


def test_long_listings_come_in_pages(workspace: Workspace, files: FilesAPI) -> None:
    names = [f"{number:02}" for number in range(7)]
    for name in names:
        files.upload(f"{FOLDER}/pages/{name}", io.BytesIO(b""))
    url = f"{workspace.host}/api/2.0/fs/directories{FOLDER}/pages"
    first = workspace.http.get(url, params={"page_size": 3}, timeout=SECONDS).json()
    assert [entry["name"] for entry in first["contents"]] == names[:3]
    assert "next_page_token" in first
    assert [entry.name for entry in files.list_directory_contents(f"{FOLDER}/pages", page_size=3)] == names


def test_what_is_not_there_is_not_found(files: FilesAPI) -> None:
    missing = f"{FOLDER}/nothing/here"
    for look in (
        files.download,
        files.get_metadata,
        files.delete,
        files.get_directory_metadata,
        files.delete_directory,
    ):
        with pytest.raises(NotFound):
            look(missing)
    with pytest.raises(NotFound):
        list(files.list_directory_contents(missing))


def test_a_part_of_a_file_can_be_read(workspace: Workspace, files: FilesAPI) -> None:
    files.upload(f"{FOLDER}/range/file", io.BytesIO(b"0123456789"))
    url = f"{workspace.host}/api/2.0/fs/files{FOLDER}/range/file"
    part = workspace.http.get(url, headers={"Range": "bytes=3-5"}, timeout=SECONDS)
    assert (part.status_code, part.content, part.headers["Content-Range"]) == (206, b"345", "bytes 3-5/10")
    rest = workspace.http.get(url, headers={"Range": "bytes=8-"}, timeout=SECONDS)
    assert (rest.status_code, rest.content) == (206, b"89")
    assert workspace.http.get(url, headers={"Range": "bytes=10-"}, timeout=SECONDS).status_code == 416


@pytest.mark.parametrize(
    "path",
    [
        "/Volumes/main/default/journal/../../../../secret",
        "/Volumes/main/default/journal/%2e%2e/%2e%2e/%2e%2e/%2e%2e/secret",
        "/Volumes/main/default/journal/..%2f..%2f..%2f..%2fsecret",
        "/Volumes/main/default/journal/..%5c..%5csecret",
        "/Volumes/main/default/journal//etc/passwd",
        "/Volumes/main/default/journal/%2fetc%2fpasswd",
        "/Volumes/main/default/journal/./x",
        "/Volumes/main/default/journal/x%00y",
        "/Volumes/main/default/file-in-no-volume",
        "/etc/passwd",
        "/Workspace/main/default/journal/x",
    ],
)
@pytest.mark.parametrize("method", ["PUT", "GET", "HEAD", "DELETE"])
def test_no_path_leads_out_of_a_volume(workspace: Workspace, volumes: Path, method: str, path: str) -> None:
    """Sent as bytes: HTTP clients tidy such paths up before they send them."""
    secret = volumes.parent / "secret"
    secret.write_text("content of the secret")
    before = sorted(volumes.parent.rglob("*"))
    connection = http.client.HTTPConnection(workspace.host.removeprefix("http://"), timeout=SECONDS)
    headers = {"Authorization": str(workspace.http.headers["Authorization"])}
    connection.request(method, f"/api/2.0/fs/files{path}", body=b"x" if method == "PUT" else None, headers=headers)
    reply = connection.getresponse()
    content = reply.read()
    connection.close()
    assert reply.status in (400, 404)
    assert b"content of the secret" not in content
    assert secret.read_text() == "content of the secret"
    assert sorted(volumes.parent.rglob("*")) == before


@pytest.mark.parametrize("kind", ["files", "directories"])
def test_links_are_not_followed(workspace: Workspace, volumes: Path, tmp_path: Path, kind: str) -> None:
    (tmp_path / "outside").write_text("secret")
    place = volumes / "main/default/links"
    place.mkdir(parents=True, exist_ok=True)
    link = place / f"out-{kind}"
    link.symlink_to(tmp_path)
    for path in (f"out-{kind}/outside", f"out-{kind}"):
        url = f"{workspace.host}/api/2.0/fs/{kind}/Volumes/main/default/links/{path}"
        for method in ("GET", "PUT", "DELETE", "HEAD"):
            assert workspace.http.request(method, url, data=b"x", timeout=SECONDS).status_code == 400
    assert (tmp_path / "outside").read_text() == "secret"
    link.unlink()


def test_files_need_a_login(workspace: Workspace) -> None:
    connection = http.client.HTTPConnection(workspace.host.removeprefix("http://"), timeout=SECONDS)
    connection.request("GET", f"/api/2.0/fs/directories{FOLDER}")
    assert connection.getresponse().status == 401
    connection.close()
