-- The rows of a DataFrame as they are now; the DataFrame might make others the next time it is read. Its columns may have any names.
CREATE TABLE $table USING DELTA
TBLPROPERTIES ('delta.columnMapping.mode' = 'name')
AS
SELECT * FROM $view
