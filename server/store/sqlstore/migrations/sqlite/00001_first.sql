-- +goose Up
-- Times are microseconds since 1970 in UTC, 0 is never. Enumerations are the numbers of the Go types they are named
-- after. Payloads, keys and secrets are BLOBs, so that a shell on this database does not print them by accident.

PRAGMA application_id = 1919904867; -- "rolc": this file is ours

CREATE TABLE devices (
  number        INTEGER PRIMARY KEY AUTOINCREMENT, -- never used again: certificates and journal may still name it
  id            TEXT    NOT NULL UNIQUE, -- what the wire calls it
  user_id       INTEGER NOT NULL,        -- 0: userless
  platform      INTEGER NOT NULL,
  life          INTEGER NOT NULL,
  registered    INTEGER NOT NULL,        -- protocol.Authority
  automated     INTEGER NOT NULL,
  awaiting      INTEGER NOT NULL,
  epoch         INTEGER NOT NULL,
  registered_at INTEGER NOT NULL,
  enrolled_at   INTEGER NOT NULL,
  ended_at      INTEGER NOT NULL,
  last_seen     INTEGER NOT NULL,        -- may lag, see the package's doc.go
  push_topic    TEXT    NOT NULL,
  push_magic    TEXT    NOT NULL,
  push_token    BLOB,
  push_since    INTEGER NOT NULL,
  unreachable   INTEGER NOT NULL,
  identity      BLOB,                    -- fingerprint, NULL: none
  identity_from INTEGER NOT NULL,
  identity_end  INTEGER NOT NULL,
  next          BLOB,
  next_from     INTEGER NOT NULL,
  next_end      INTEGER NOT NULL,
  renewal_asked INTEGER NOT NULL,
  renewal_id    BLOB,                    -- command, NULL: none
  renewal_tries INTEGER NOT NULL,
  set_version   INTEGER NOT NULL,
  seq           INTEGER NOT NULL,        -- of the newest command
  acknowledged  INTEGER NOT NULL,
  failed        INTEGER NOT NULL,
  format_error  INTEGER NOT NULL,
  not_now       INTEGER NOT NULL,
  wake_due      INTEGER NOT NULL,        -- the outbox: 0, or when a wake-up is due
  wake_reason   INTEGER NOT NULL,
  wake_attempt  INTEGER NOT NULL
) STRICT;

CREATE TABLE device_secrets (
  device INTEGER PRIMARY KEY REFERENCES devices ON DELETE CASCADE,
  unlock BLOB,
  escrow BLOB
) STRICT;

CREATE TABLE facts (
  device     INTEGER PRIMARY KEY REFERENCES devices ON DELETE CASCADE,
  name       TEXT NOT NULL,
  model      TEXT NOT NULL,
  product    TEXT NOT NULL,
  serial     TEXT NOT NULL,
  os_version TEXT NOT NULL,
  build      TEXT NOT NULL,
  imei       TEXT NOT NULL,
  meid       TEXT NOT NULL
) STRICT;

CREATE TABLE device_profiles (
  device  INTEGER NOT NULL REFERENCES devices ON DELETE CASCADE,
  profile INTEGER NOT NULL,
  state   INTEGER NOT NULL,
  tries   INTEGER NOT NULL,
  at      INTEGER NOT NULL,
  PRIMARY KEY (device, profile)
) STRICT, WITHOUT ROWID;

-- Commands without a final answer, and those with one. Two tables: the first stays small and is read at every start.
CREATE TABLE queue (
  device  INTEGER NOT NULL REFERENCES devices ON DELETE CASCADE,
  seq     INTEGER NOT NULL,
  id      BLOB    NOT NULL,
  kind    INTEGER NOT NULL,
  profile INTEGER NOT NULL,
  pin     TEXT    NOT NULL,
  text    TEXT    NOT NULL,
  at      INTEGER NOT NULL,
  not_now INTEGER NOT NULL,
  status  INTEGER NOT NULL,
  result  BLOB,
  errors  TEXT    NOT NULL,
  PRIMARY KEY (device, seq)
) STRICT, WITHOUT ROWID;

CREATE TABLE history (
  device  INTEGER NOT NULL REFERENCES devices ON DELETE CASCADE,
  seq     INTEGER NOT NULL,
  id      BLOB    NOT NULL,
  kind    INTEGER NOT NULL,
  profile INTEGER NOT NULL,
  pin     TEXT    NOT NULL,
  text    TEXT    NOT NULL,
  at      INTEGER NOT NULL,
  not_now INTEGER NOT NULL,
  status  INTEGER NOT NULL,
  result  BLOB,
  errors  TEXT    NOT NULL,
  PRIMARY KEY (device, seq)
) STRICT, WITHOUT ROWID;

-- Answers that a repeated message gets again; a ring of slots for each device.
CREATE TABLE exchanges (
  device INTEGER NOT NULL REFERENCES devices ON DELETE CASCADE,
  slot   INTEGER NOT NULL,
  nth    INTEGER NOT NULL,
  key    BLOB    NOT NULL,
  answer BLOB,
  PRIMARY KEY (device, slot)
) STRICT, WITHOUT ROWID;

CREATE TABLE journal (
  seq    INTEGER PRIMARY KEY,
  at     INTEGER NOT NULL,
  device INTEGER NOT NULL, -- 0: the tenant
  rule   TEXT    NOT NULL,
  what   TEXT    NOT NULL,
  detail TEXT    NOT NULL,
  chain  BLOB    NOT NULL  -- SHA-256 over the line and the chain of the line before (HST-074)
) STRICT;

CREATE TABLE credentials (
  fingerprint BLOB    NOT NULL PRIMARY KEY,
  key         BLOB    NOT NULL, -- SHA-256 of the public key
  not_before  INTEGER NOT NULL,
  not_after   INTEGER NOT NULL,
  purpose     INTEGER NOT NULL,
  device      INTEGER NOT NULL, -- 0: not bound yet
  user_id     INTEGER NOT NULL,
  automated   INTEGER NOT NULL,
  id          TEXT    NOT NULL, -- UDID that its grant was bound to
  serial      TEXT    NOT NULL,
  revoked     INTEGER NOT NULL,
  superseded  INTEGER NOT NULL  -- when its successor was first used; 0: not
) STRICT, WITHOUT ROWID;
CREATE INDEX credentials_key ON credentials (key);

CREATE TABLE grants (
  hash        BLOB    NOT NULL PRIMARY KEY, -- of the challenge
  purpose     INTEGER NOT NULL,
  user_id     INTEGER NOT NULL,
  device      INTEGER NOT NULL,
  id          TEXT    NOT NULL,
  serial      TEXT    NOT NULL,
  automated   INTEGER NOT NULL,
  expires     INTEGER NOT NULL,
  used_at     INTEGER NOT NULL,
  scep        TEXT    NOT NULL, -- transaction that used it
  request     BLOB,
  key         BLOB,
  certificate BLOB
) STRICT;
CREATE INDEX grants_expires ON grants (expires);

CREATE TABLE tickets (
  hash    BLOB    NOT NULL PRIMARY KEY,
  user_id INTEGER NOT NULL,
  expires INTEGER NOT NULL,
  used_at INTEGER NOT NULL
) STRICT;
CREATE INDEX tickets_expires ON tickets (expires);

CREATE TABLE tenant (
  one             INTEGER PRIMARY KEY CHECK (one = 1),
  authority       INTEGER NOT NULL,
  coexistence     INTEGER NOT NULL,
  release         INTEGER NOT NULL,
  accept_userless INTEGER NOT NULL,
  epoch           INTEGER NOT NULL,
  changed_at      INTEGER NOT NULL
) STRICT;

CREATE TABLE settings (
  one      INTEGER PRIMARY KEY CHECK (one = 1),
  lifetime INTEGER NOT NULL, -- nanoseconds, as are the two below
  window   INTEGER NOT NULL,
  renew    INTEGER NOT NULL
) STRICT;

CREATE TABLE users (
  id         INTEGER PRIMARY KEY,
  upn        TEXT    NOT NULL,
  name       TEXT    NOT NULL,
  intune     INTEGER NOT NULL,
  basic      INTEGER NOT NULL,
  co_managed INTEGER NOT NULL
) STRICT;

CREATE TABLE user_groups (
  user_id INTEGER NOT NULL REFERENCES users ON DELETE CASCADE,
  place   INTEGER NOT NULL,
  name    TEXT    NOT NULL,
  PRIMARY KEY (user_id, place)
) STRICT, WITHOUT ROWID;

CREATE TABLE profiles (
  number     INTEGER PRIMARY KEY,
  name       TEXT    NOT NULL,
  family     INTEGER NOT NULL,
  identifier TEXT    NOT NULL,
  payload    BLOB,
  removed    INTEGER NOT NULL
) STRICT;

CREATE TABLE assignments (
  profile TEXT NOT NULL,
  grp     TEXT NOT NULL,
  PRIMARY KEY (profile, grp)
) STRICT, WITHOUT ROWID;

CREATE TABLE push_certificates (
  slot        INTEGER NOT NULL,
  not_before  INTEGER NOT NULL,
  not_after   INTEGER NOT NULL,
  topic       TEXT    NOT NULL,
  apple_id    TEXT    NOT NULL,
  uploaded_at INTEGER NOT NULL,
  suspended   INTEGER NOT NULL,
  certificate BLOB,
  key         BLOB,
  PRIMARY KEY (slot, not_before)
) STRICT, WITHOUT ROWID;

CREATE TABLE serials (
  serial   TEXT    NOT NULL PRIMARY KEY,
  user_id  INTEGER NOT NULL,
  awaiting INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE tokens (
  name    TEXT    NOT NULL PRIMARY KEY,
  hash    BLOB    NOT NULL,
  made    INTEGER NOT NULL,
  expires INTEGER NOT NULL,
  revoked INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE secrets (
  name  TEXT NOT NULL PRIMARY KEY,
  value BLOB NOT NULL
) STRICT, WITHOUT ROWID;
