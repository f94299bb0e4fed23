-- Which database this is: a bucket that handed its state over names it.
CREATE TABLE xetl_database (
    id TEXT NOT NULL PRIMARY KEY
);

INSERT INTO xetl_database (id) VALUES (lower(hex(randomblob(16))));

-- A row for each stream of each run. Times are UTC.
CREATE TABLE xetl_runs (
    client TEXT NOT NULL,
    pipeline TEXT NOT NULL,
    id TEXT NOT NULL,
    stream TEXT NOT NULL,
    status TEXT NOT NULL CHECK (status IN ('IN_PROGRESS', 'SUCCESS', 'FAILED', 'PARKED')),
    row_count INTEGER NOT NULL DEFAULT 0,
    byte_count INTEGER NOT NULL DEFAULT 0,
    started_at TEXT NOT NULL,
    ended_at TEXT,
    error TEXT,
    PRIMARY KEY (client, pipeline, id, stream)
);

CREATE INDEX xetl_runs_by_start ON xetl_runs (started_at);

-- How far each stream is. A writer must know the version it replaces.
CREATE TABLE xetl_checkpoints (
    client TEXT NOT NULL,
    pipeline TEXT NOT NULL,
    stream TEXT NOT NULL,
    version INTEGER NOT NULL,
    document TEXT NOT NULL,
    updated_at TEXT NOT NULL,
    PRIMARY KEY (client, pipeline, stream)
);
