-- The rows of a DataFrame as they are now; the DataFrame might make others the next time it is read.
CREATE TABLE $table USING DELTA
AS
SELECT * FROM $view
