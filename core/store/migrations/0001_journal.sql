-- Times are microseconds since 1970 UTC; NULL is "not set". Blobs marked "sealed"
-- pass the Cipher. Text compares by bytes, as Go strings do.

CREATE TABLE instances (
  id                  TEXT NOT NULL PRIMARY KEY,
  service_id          TEXT NOT NULL,
  plan_id             TEXT NOT NULL,
  definition          TEXT NOT NULL,
  backend             TEXT NOT NULL,
  organization_guid   TEXT NOT NULL,
  space_guid          TEXT NOT NULL,
  parameters          BLOB, -- sealed
  context             BLOB, -- sealed
  ready               INTEGER NOT NULL,
  usable              INTEGER NOT NULL,
  inputs              BLOB, -- sealed
  outputs             BLOB, -- sealed
  attempted           BLOB, -- sealed JSON
  dashboard_url       TEXT NOT NULL,
  maintenance_version TEXT NOT NULL,
  labels              BLOB,
  attributes          BLOB,
  last_operation      TEXT NOT NULL,
  created_at          INTEGER,
  updated_at          INTEGER
);
CREATE INDEX instances_by_plan ON instances (plan_id, backend, id);

-- Which plans, definitions and backends instances have, and how many of them;
-- kept by triggers. Lists by service or backend go from here to instances_by_plan,
-- which saves an index of a million random ids for each of them.
CREATE TABLE uses (
  service_id TEXT NOT NULL,
  plan_id    TEXT NOT NULL,
  backend    TEXT NOT NULL,
  definition TEXT NOT NULL,
  instances  INTEGER NOT NULL,
  PRIMARY KEY (service_id, plan_id, backend, definition)
) WITHOUT ROWID;

CREATE TABLE bindings (
  instance_id    TEXT NOT NULL REFERENCES instances (id) ON DELETE CASCADE,
  id             TEXT NOT NULL,
  service_id     TEXT NOT NULL,
  plan_id        TEXT NOT NULL,
  definition     TEXT NOT NULL,
  backend        TEXT NOT NULL,
  request        TEXT NOT NULL,
  parameters     BLOB, -- sealed
  context        BLOB, -- sealed
  resource       BLOB, -- sealed
  predecessor    TEXT NOT NULL,
  ready          INTEGER NOT NULL,
  inputs         BLOB, -- sealed
  outputs        BLOB, -- sealed
  attempted      BLOB, -- sealed JSON
  result         BLOB, -- sealed JSON
  last_operation TEXT NOT NULL,
  created_at     INTEGER,
  updated_at     INTEGER,
  PRIMARY KEY (instance_id, id)
);

-- seq orders operations whose times are equal and is never used again.
CREATE TABLE operations (
  seq              INTEGER PRIMARY KEY AUTOINCREMENT,
  id               TEXT NOT NULL UNIQUE,
  verb             TEXT NOT NULL,
  instance_id      TEXT NOT NULL,
  binding_id       TEXT NOT NULL, -- '' for instance verbs
  state            TEXT NOT NULL,
  phase            TEXT NOT NULL,
  request          TEXT NOT NULL,
  definition       TEXT NOT NULL,
  backend          TEXT NOT NULL,
  service_id       TEXT NOT NULL, -- wanted
  plan_id          TEXT NOT NULL, -- wanted
  wanted           BLOB, -- sealed JSON
  handle           BLOB, -- sealed
  seed             BLOB, -- sealed
  fence            INTEGER NOT NULL,
  calls            INTEGER NOT NULL,
  next_at          INTEGER,
  failures         INTEGER NOT NULL,
  deadline         INTEGER,
  progress_text    TEXT NOT NULL,
  progress_percent INTEGER NOT NULL,
  detached         INTEGER NOT NULL,
  reported         INTEGER NOT NULL,
  cancelled_by     TEXT NOT NULL,
  error            BLOB, -- JSON
  left_behind      BLOB, -- JSON
  user             TEXT NOT NULL,
  identity         BLOB,
  request_id       TEXT NOT NULL,
  holder           TEXT NOT NULL,
  epoch            INTEGER NOT NULL,
  expires_at       INTEGER,
  created_at       INTEGER,
  started_at       INTEGER,
  finished_at      INTEGER,
  gone             INTEGER NOT NULL -- 1: its instance or binding was deleted
);
CREATE UNIQUE INDEX operations_pending ON operations (instance_id, binding_id) WHERE state = 'pending';
CREATE INDEX operations_by_target  ON operations (instance_id, binding_id);
CREATE INDEX operations_by_binding ON operations (binding_id) WHERE binding_id <> '';
CREATE INDEX operations_by_verb    ON operations (verb);
CREATE INDEX operations_unfinished ON operations (instance_id) WHERE state IN ('pending', 'cancelling');
CREATE INDEX operations_failed     ON operations (seq) WHERE state = 'failed';
CREATE INDEX operations_tombstones ON operations (finished_at) WHERE gone = 1 AND finished_at IS NOT NULL;

CREATE TABLE steps (
  operation INTEGER NOT NULL REFERENCES operations (seq) ON DELETE CASCADE,
  seq       INTEGER NOT NULL,
  at        INTEGER,
  kind      TEXT NOT NULL,
  text      TEXT NOT NULL,
  detail    TEXT NOT NULL,
  PRIMARY KEY (operation, seq)
) WITHOUT ROWID;

CREATE TABLE fences (
  instance_id TEXT NOT NULL PRIMARY KEY,
  fence       INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE secrets (
  instance_id TEXT NOT NULL,
  binding_id  TEXT NOT NULL, -- '' for the instance's
  name        TEXT NOT NULL,
  value       BLOB NOT NULL, -- sealed
  PRIMARY KEY (instance_id, binding_id, name)
) WITHOUT ROWID;

CREATE TABLE reservations (
  backend     TEXT NOT NULL,
  field       TEXT NOT NULL,
  value       TEXT NOT NULL,
  instance_id TEXT NOT NULL,
  PRIMARY KEY (backend, field, value)
) WITHOUT ROWID;
CREATE INDEX reservations_by_instance ON reservations (instance_id);

CREATE TABLE definitions (
  seq    INTEGER PRIMARY KEY AUTOINCREMENT,
  digest TEXT NOT NULL UNIQUE,
  blob   BLOB
);

CREATE TABLE documents (
  key   TEXT NOT NULL PRIMARY KEY,
  value BLOB
);

-- Sizes, kept by triggers so that reading them never counts a million rows.
CREATE TABLE counts (
  name TEXT NOT NULL PRIMARY KEY, -- 'instances', 'bindings', or 'unfinished ' || verb
  n    INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TRIGGER instances_inserted AFTER INSERT ON instances BEGIN
  INSERT INTO counts (name, n) VALUES ('instances', 1) ON CONFLICT (name) DO UPDATE SET n = n + 1;
  INSERT INTO uses (service_id, plan_id, backend, definition, instances)
    VALUES (new.service_id, new.plan_id, new.backend, new.definition, 1)
    ON CONFLICT (service_id, plan_id, backend, definition) DO UPDATE SET instances = instances + 1;
END;
CREATE TRIGGER instances_moved AFTER UPDATE OF service_id, plan_id, backend, definition ON instances BEGIN
  INSERT INTO uses (service_id, plan_id, backend, definition, instances)
    VALUES (new.service_id, new.plan_id, new.backend, new.definition, 1)
    ON CONFLICT (service_id, plan_id, backend, definition) DO UPDATE SET instances = instances + 1;
  UPDATE uses SET instances = instances - 1 WHERE service_id = old.service_id AND plan_id = old.plan_id
    AND backend = old.backend AND definition = old.definition;
  DELETE FROM uses WHERE service_id = old.service_id AND plan_id = old.plan_id
    AND backend = old.backend AND definition = old.definition AND instances = 0;
END;
CREATE TRIGGER instances_deleted AFTER DELETE ON instances BEGIN
  UPDATE counts SET n = n - 1 WHERE name = 'instances';
  UPDATE uses SET instances = instances - 1 WHERE service_id = old.service_id AND plan_id = old.plan_id
    AND backend = old.backend AND definition = old.definition;
  DELETE FROM uses WHERE service_id = old.service_id AND plan_id = old.plan_id
    AND backend = old.backend AND definition = old.definition AND instances = 0;
END;
CREATE TRIGGER bindings_inserted AFTER INSERT ON bindings BEGIN
  INSERT INTO counts (name, n) VALUES ('bindings', 1) ON CONFLICT (name) DO UPDATE SET n = n + 1;
END;
CREATE TRIGGER bindings_deleted AFTER DELETE ON bindings BEGIN
  UPDATE counts SET n = n - 1 WHERE name = 'bindings';
END;
CREATE TRIGGER operations_inserted AFTER INSERT ON operations
WHEN new.state IN ('pending', 'cancelling') BEGIN
  INSERT INTO counts (name, n) VALUES ('unfinished ' || new.verb, 1) ON CONFLICT (name) DO UPDATE SET n = n + 1;
END;
CREATE TRIGGER operations_finished AFTER UPDATE OF state ON operations
WHEN old.state IN ('pending', 'cancelling') AND new.state NOT IN ('pending', 'cancelling') BEGIN
  UPDATE counts SET n = n - 1 WHERE name = 'unfinished ' || old.verb;
END;
CREATE TRIGGER operations_reopened AFTER UPDATE OF state ON operations
WHEN old.state NOT IN ('pending', 'cancelling') AND new.state IN ('pending', 'cancelling') BEGIN
  INSERT INTO counts (name, n) VALUES ('unfinished ' || new.verb, 1) ON CONFLICT (name) DO UPDATE SET n = n + 1;
END;
CREATE TRIGGER operations_deleted AFTER DELETE ON operations
WHEN old.state IN ('pending', 'cancelling') BEGIN
  UPDATE counts SET n = n - 1 WHERE name = 'unfinished ' || old.verb;
END;
