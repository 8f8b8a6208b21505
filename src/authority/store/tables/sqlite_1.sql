CREATE TABLE sidegate_state (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    number INTEGER NOT NULL,
    keys_number INTEGER NOT NULL
) STRICT;
INSERT INTO sidegate_state (id, number, keys_number) VALUES (1, 0, 0);

CREATE TABLE sidegate_clients (
    id TEXT NOT NULL PRIMARY KEY,
    name TEXT NOT NULL,
    description TEXT NOT NULL,
    notes TEXT NOT NULL,
    scopes TEXT NOT NULL,
    roles TEXT NOT NULL,
    tenants TEXT NOT NULL,
    secrets TEXT NOT NULL,
    jwks TEXT,
    is_revoked INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    last_used_at INTEGER,
    generation INTEGER NOT NULL,
    version INTEGER NOT NULL UNIQUE
) STRICT;

-- Clients that are no more, so that whoever follows the changes learns of it.
CREATE TABLE sidegate_deleted_clients (
    id TEXT NOT NULL PRIMARY KEY,
    number INTEGER NOT NULL UNIQUE
) STRICT;

CREATE TABLE sidegate_foreign_clients (
    iss TEXT NOT NULL,
    id TEXT NOT NULL,
    is_refused INTEGER NOT NULL,
    number INTEGER NOT NULL UNIQUE,
    PRIMARY KEY (iss, id)
) STRICT;

CREATE TABLE sidegate_revoked_tokens (
    jti TEXT NOT NULL PRIMARY KEY,
    client_id TEXT NOT NULL,
    expires_at INTEGER NOT NULL,
    number INTEGER NOT NULL UNIQUE
) STRICT;
CREATE INDEX sidegate_revoked_tokens_expires_at ON sidegate_revoked_tokens (expires_at);
-- Each client has a bound of its own.
CREATE INDEX sidegate_revoked_tokens_client_id ON sidegate_revoked_tokens (client_id, expires_at);

CREATE TABLE sidegate_keys (
    key_id TEXT NOT NULL PRIMARY KEY,
    algorithm TEXT NOT NULL,
    phase TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    phase_since INTEGER NOT NULL,
    token_seconds INTEGER NOT NULL,
    private BLOB NOT NULL,
    is_sealed INTEGER NOT NULL,
    public_jwk TEXT NOT NULL
) STRICT;

CREATE TABLE sidegate_audit (
    number INTEGER NOT NULL PRIMARY KEY,
    made_at INTEGER NOT NULL,
    who TEXT NOT NULL,
    action TEXT NOT NULL,
    subject TEXT NOT NULL,
    state_before TEXT,
    state_after TEXT
) STRICT;
-- REPLACE deletes what is in its way without a trigger.
CREATE TRIGGER sidegate_audit_insert BEFORE INSERT ON sidegate_audit
WHEN EXISTS (SELECT 1 FROM sidegate_audit WHERE number = NEW.number)
BEGIN SELECT RAISE(ABORT, 'the audit log can only be appended to'); END;
CREATE TRIGGER sidegate_audit_update BEFORE UPDATE ON sidegate_audit
BEGIN SELECT RAISE(ABORT, 'the audit log can only be appended to'); END;
CREATE TRIGGER sidegate_audit_delete BEFORE DELETE ON sidegate_audit
BEGIN SELECT RAISE(ABORT, 'the audit log can only be appended to'); END;
