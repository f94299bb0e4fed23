-- Which database this is: a bucket that handed its state over names it.
CREATE TABLE xetl_database (
    id VARCHAR(32) NOT NULL PRIMARY KEY
) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

INSERT INTO xetl_database (id) VALUES (replace(uuid(), '-', ''));

-- A row for each stream of each run. Times are UTC.
CREATE TABLE xetl_runs (
    client VARCHAR(64) NOT NULL,
    pipeline VARCHAR(64) NOT NULL,
    id VARCHAR(128) NOT NULL,
    stream VARCHAR(500) NOT NULL,
    status VARCHAR(16) NOT NULL CHECK (status IN ('IN_PROGRESS', 'SUCCESS', 'FAILED', 'PARKED')),
    row_count BIGINT NOT NULL DEFAULT 0,
    byte_count BIGINT NOT NULL DEFAULT 0,
    started_at DATETIME(6) NOT NULL,
    ended_at DATETIME(6),
    error LONGTEXT,
    PRIMARY KEY (client, pipeline, id, stream)
) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

CREATE INDEX xetl_runs_by_start ON xetl_runs (started_at);

-- How far each stream is. A writer must know the version it replaces.
CREATE TABLE xetl_checkpoints (
    client VARCHAR(64) NOT NULL,
    pipeline VARCHAR(64) NOT NULL,
    stream VARCHAR(500) NOT NULL,
    version BIGINT NOT NULL,
    document LONGTEXT NOT NULL,
    updated_at DATETIME(6) NOT NULL,
    PRIMARY KEY (client, pipeline, stream)
) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
