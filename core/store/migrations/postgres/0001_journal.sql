-- compatible_from: 1
-- Times are microseconds since 1970 UTC; NULL is "not set". Blobs marked "sealed" pass
-- the Cipher, and so do texts marked so. Text compares by bytes, as Go strings do.
-- Columns and their meaning are those of the SQLite store; what differs is how the
-- database counts, since a counter that every transaction changes would let only one
-- transaction run at a time.

CREATE TABLE instances (
  id                  TEXT COLLATE "C" NOT NULL PRIMARY KEY,
  service_id          TEXT COLLATE "C" NOT NULL,
  plan_id             TEXT COLLATE "C" NOT NULL,
  definition          TEXT COLLATE "C" NOT NULL,
  backend             TEXT COLLATE "C" NOT NULL,
  organization_guid   TEXT COLLATE "C" NOT NULL,
  space_guid          TEXT COLLATE "C" NOT NULL,
  parameters          BYTEA, -- sealed
  context             BYTEA, -- sealed
  ready               BOOLEAN NOT NULL,
  usable              BOOLEAN NOT NULL,
  inputs              BYTEA, -- sealed
  outputs             BYTEA, -- sealed
  attempted           BYTEA, -- sealed JSON
  dashboard_url       TEXT COLLATE "C" NOT NULL, -- sealed
  maintenance_version TEXT COLLATE "C" NOT NULL,
  labels              BYTEA, -- sealed
  attributes          BYTEA, -- sealed
  last_operation      TEXT COLLATE "C" NOT NULL,
  created_at          BIGINT,
  updated_at          BIGINT,
  plugin_version      TEXT COLLATE "C" NOT NULL DEFAULT ''
) WITH (fillfactor = 80); -- room for the next version of a row beside it
CREATE INDEX instances_by_plan ON instances (plan_id, backend, id);

CREATE TABLE bindings (
  instance_id    TEXT COLLATE "C" NOT NULL REFERENCES instances (id) ON DELETE CASCADE,
  id             TEXT COLLATE "C" NOT NULL,
  service_id     TEXT COLLATE "C" NOT NULL,
  plan_id        TEXT COLLATE "C" NOT NULL,
  definition     TEXT COLLATE "C" NOT NULL,
  backend        TEXT COLLATE "C" NOT NULL,
  request        TEXT COLLATE "C" NOT NULL, -- sealed
  parameters     BYTEA, -- sealed
  context        BYTEA, -- sealed
  resource       BYTEA, -- sealed
  predecessor    TEXT COLLATE "C" NOT NULL,
  ready          BOOLEAN NOT NULL,
  inputs         BYTEA, -- sealed
  outputs        BYTEA, -- sealed
  attempted      BYTEA, -- sealed JSON
  result         BYTEA, -- sealed JSON
  last_operation TEXT COLLATE "C" NOT NULL,
  created_at     BIGINT,
  updated_at     BIGINT,
  plugin_version TEXT COLLATE "C" NOT NULL DEFAULT '',
  PRIMARY KEY (instance_id, id)
) WITH (fillfactor = 80);

CREATE TABLE operations (
  seq              BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  id               TEXT COLLATE "C" NOT NULL UNIQUE,
  verb             TEXT COLLATE "C" NOT NULL,
  instance_id      TEXT COLLATE "C" NOT NULL,
  binding_id       TEXT COLLATE "C" NOT NULL, -- '' for instance verbs
  state            TEXT COLLATE "C" NOT NULL,
  phase            TEXT COLLATE "C" NOT NULL,
  request          TEXT COLLATE "C" NOT NULL, -- sealed
  definition       TEXT COLLATE "C" NOT NULL,
  backend          TEXT COLLATE "C" NOT NULL,
  service_id       TEXT COLLATE "C" NOT NULL, -- wanted
  plan_id          TEXT COLLATE "C" NOT NULL, -- wanted
  wanted           BYTEA, -- sealed JSON
  handle           BYTEA, -- sealed
  seed             BYTEA, -- sealed
  fence            BIGINT NOT NULL,
  calls            BIGINT NOT NULL,
  next_at          BIGINT,
  failures         BIGINT NOT NULL,
  deadline         BIGINT,
  progress_text    TEXT COLLATE "C" NOT NULL, -- sealed
  progress_percent BIGINT NOT NULL,
  detached         BOOLEAN NOT NULL,
  reported         BOOLEAN NOT NULL,
  cancelled_by     TEXT COLLATE "C" NOT NULL,
  error            BYTEA, -- sealed JSON
  left_behind      BYTEA, -- sealed JSON
  "user"           TEXT COLLATE "C" NOT NULL,
  identity         BYTEA, -- sealed
  request_id       TEXT COLLATE "C" NOT NULL,
  holder           TEXT COLLATE "C" NOT NULL,
  epoch            BIGINT NOT NULL,
  created_at       BIGINT,
  started_at       BIGINT,
  finished_at      BIGINT,
  gone             INTEGER NOT NULL, -- 1: its instance or binding was deleted
  trace            TEXT COLLATE "C" NOT NULL DEFAULT ''
) WITH (fillfactor = 80);
CREATE UNIQUE INDEX operations_pending ON operations (instance_id, binding_id) WHERE state = 'pending';
CREATE INDEX operations_by_target  ON operations (instance_id, binding_id, seq);
CREATE INDEX operations_by_binding ON operations (binding_id, seq) WHERE binding_id <> '';
CREATE INDEX operations_by_verb    ON operations (verb, seq);
CREATE INDEX operations_unfinished ON operations (instance_id) WHERE state IN ('pending', 'cancelling');
CREATE INDEX operations_by_holder  ON operations (holder, instance_id) WHERE state IN ('pending', 'cancelling');
CREATE INDEX operations_failed     ON operations (seq) WHERE state = 'failed';
CREATE INDEX operations_tombstones ON operations (finished_at) WHERE gone = 1 AND finished_at IS NOT NULL;

CREATE TABLE steps (
  operation BIGINT NOT NULL REFERENCES operations (seq) ON DELETE CASCADE,
  seq       BIGINT NOT NULL,
  at        BIGINT,
  kind      TEXT COLLATE "C" NOT NULL,
  text      TEXT COLLATE "C" NOT NULL, -- sealed
  detail    TEXT COLLATE "C" NOT NULL, -- sealed
  PRIMARY KEY (operation, seq)
);

CREATE TABLE fences (
  instance_id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
  fence       BIGINT NOT NULL
) WITH (fillfactor = 80);

CREATE TABLE secrets (
  instance_id TEXT COLLATE "C" NOT NULL,
  binding_id  TEXT COLLATE "C" NOT NULL, -- '' for the instance's
  name        TEXT COLLATE "C" NOT NULL,
  value       BYTEA NOT NULL, -- sealed
  PRIMARY KEY (instance_id, binding_id, name)
);

CREATE TABLE reservations (
  backend     TEXT COLLATE "C" NOT NULL,
  field       TEXT COLLATE "C" NOT NULL,
  value       TEXT COLLATE "C" NOT NULL,
  instance_id TEXT COLLATE "C" NOT NULL,
  PRIMARY KEY (backend, field, value)
);
CREATE INDEX reservations_by_instance ON reservations (instance_id);

CREATE TABLE definitions (
  seq    BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  digest TEXT COLLATE "C" NOT NULL UNIQUE,
  blob   BYTEA
);

CREATE TABLE documents (
  key   TEXT COLLATE "C" NOT NULL PRIMARY KEY,
  value BYTEA
);

CREATE TABLE leases (
  holder     TEXT COLLATE "C" NOT NULL PRIMARY KEY,
  name       TEXT COLLATE "C" NOT NULL,
  version    TEXT COLLATE "C" NOT NULL,
  keys       BIGINT NOT NULL,
  renewed_at BIGINT NOT NULL,
  expires_at BIGINT NOT NULL -- 0: it was released or found to have ended, and never lives again
);

-- Sizes are sums over changes that triggers append; a broker folds them into one row
-- each now and then. Nobody waits for anybody to count.
CREATE TABLE uses_changes (
  service_id TEXT COLLATE "C" NOT NULL,
  plan_id    TEXT COLLATE "C" NOT NULL,
  backend    TEXT COLLATE "C" NOT NULL,
  definition TEXT COLLATE "C" NOT NULL,
  instances  BIGINT NOT NULL
);
CREATE TABLE counts_changes (
  name TEXT COLLATE "C" NOT NULL, -- 'bindings'
  n    BIGINT NOT NULL
);

CREATE VIEW uses AS
  SELECT service_id, plan_id, backend, definition, sum(instances)::bigint AS instances
  FROM uses_changes GROUP BY service_id, plan_id, backend, definition HAVING sum(instances) > 0;
CREATE VIEW counts AS
  SELECT 'instances' AS name, coalesce(sum(instances), 0)::bigint AS n FROM uses_changes
  UNION ALL SELECT name, sum(n)::bigint FROM counts_changes GROUP BY name
  UNION ALL SELECT 'unfinished ' || verb, count(*) FROM operations
    WHERE state IN ('pending', 'cancelling') GROUP BY verb;

CREATE FUNCTION instances_counted() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF TG_OP <> 'INSERT' THEN
    INSERT INTO uses_changes VALUES (OLD.service_id, OLD.plan_id, OLD.backend, OLD.definition, -1);
  END IF;
  IF TG_OP <> 'DELETE' THEN
    INSERT INTO uses_changes VALUES (NEW.service_id, NEW.plan_id, NEW.backend, NEW.definition, 1);
  END IF;
  RETURN NULL;
END $$;
CREATE TRIGGER instances_counted AFTER INSERT OR DELETE ON instances
  FOR EACH ROW EXECUTE FUNCTION instances_counted();
CREATE TRIGGER instances_moved AFTER UPDATE ON instances FOR EACH ROW
  WHEN ((OLD.service_id, OLD.plan_id, OLD.backend, OLD.definition)
    IS DISTINCT FROM (NEW.service_id, NEW.plan_id, NEW.backend, NEW.definition))
  EXECUTE FUNCTION instances_counted();

CREATE FUNCTION bindings_counted() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO counts_changes VALUES ('bindings', CASE TG_OP WHEN 'INSERT' THEN 1 ELSE -1 END);
  RETURN NULL;
END $$;
CREATE TRIGGER bindings_counted AFTER INSERT OR DELETE ON bindings
  FOR EACH ROW EXECUTE FUNCTION bindings_counted();
