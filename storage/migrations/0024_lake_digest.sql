-- What a file of the lake must hold: an object store and a copy of it are believed by this alone.
-- Empty for files of older versions.
ALTER TABLE lake_files ADD COLUMN digest text NOT NULL DEFAULT '';
