-- +goose Up
-- What a change of the tenant's authority needs (AUTH-18, 20, 26, 30), consents (AUTH-05) and settings.

ALTER TABLE devices ADD COLUMN support     INTEGER NOT NULL DEFAULT 0; -- it moves at its next completed check-in (AUTH-18)
ALTER TABLE devices ADD COLUMN heard       INTEGER NOT NULL DEFAULT 0; -- newest epoch that it was told of
ALTER TABLE devices ADD COLUMN android_api INTEGER NOT NULL DEFAULT 0;
ALTER TABLE devices ADD COLUMN co_managed  INTEGER NOT NULL DEFAULT 0;
UPDATE devices SET heard = epoch;

CREATE TABLE campaign (
  one         INTEGER PRIMARY KEY CHECK (one = 1),
  gap_since   INTEGER NOT NULL, -- 0: there is no gap
  wake_from   INTEGER NOT NULL, -- 0: nothing is going on
  wake_cursor INTEGER NOT NULL  -- devices up to this number have been woken
) STRICT;

CREATE TABLE consents (
  service    TEXT    NOT NULL PRIMARY KEY,
  granted_by TEXT    NOT NULL,
  granted_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Profiles so far belong to whoever managed the tenant.
ALTER TABLE profiles ADD COLUMN authority INTEGER NOT NULL DEFAULT 1;
UPDATE profiles SET authority = authority_of.a FROM
  (SELECT CASE WHEN coexistence = 0 AND authority IN (2, 3) THEN authority ELSE 1 END AS a FROM tenant) AS authority_of;

ALTER TABLE assignments RENAME TO assignments_2;
CREATE TABLE assignments (
  profile   TEXT    NOT NULL,
  grp       TEXT    NOT NULL,
  authority INTEGER NOT NULL,
  PRIMARY KEY (profile, grp, authority)
) STRICT, WITHOUT ROWID;
INSERT INTO assignments (profile, grp, authority)
  SELECT DISTINCT a.profile, a.grp, COALESCE((SELECT MAX(p.authority) FROM profiles AS p WHERE p.name = a.profile), 1) FROM assignments_2 AS a;
DROP TABLE assignments_2;

ALTER TABLE settings ADD COLUMN attempt_1              INTEGER NOT NULL DEFAULT 0; -- nanoseconds, 0 is the default, as below
ALTER TABLE settings ADD COLUMN attempt_2              INTEGER NOT NULL DEFAULT 0;
ALTER TABLE settings ADD COLUMN attempt_3              INTEGER NOT NULL DEFAULT 0;
ALTER TABLE settings ADD COLUMN gap_not_on_coexistence INTEGER NOT NULL DEFAULT 0;
ALTER TABLE settings ADD COLUMN gap_platforms          BLOB;                       -- a byte each, NULL is the default
ALTER TABLE settings ADD COLUMN windows_keeps          INTEGER NOT NULL DEFAULT 0;
ALTER TABLE settings ADD COLUMN android_api_drops      INTEGER NOT NULL DEFAULT 0;
ALTER TABLE settings ADD COLUMN validity               INTEGER NOT NULL DEFAULT 0;
ALTER TABLE settings ADD COLUMN lag                    INTEGER NOT NULL DEFAULT 0;
ALTER TABLE settings ADD COLUMN silent                 INTEGER NOT NULL DEFAULT 0;
ALTER TABLE settings ADD COLUMN units_known            INTEGER NOT NULL DEFAULT 0;
ALTER TABLE settings ADD COLUMN units                  INTEGER NOT NULL DEFAULT 0;
ALTER TABLE settings ADD COLUMN device_licences        INTEGER NOT NULL DEFAULT 0;
ALTER TABLE settings ADD COLUMN device_limit           INTEGER NOT NULL DEFAULT 0;
