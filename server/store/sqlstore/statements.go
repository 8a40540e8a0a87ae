package sqlstore

import "strings"

// A statement is one that the committer runs; its text is in texts.
type statement uint8

const (
	begin statement = iota
	commit
	rollback
	savepoint
	release
	rollbackTo

	addDevice
	putDevice // all of its columns but the name
	dropDevice
	addRemoved
	putWake
	putCounts // and what putWake does
	putAddress
	moveAddress // what putAddress does, of which only the token is another
	putSeen
	putSecrets
	putFacts
	putProfile
	dropProfile
	putQueued
	dropQueued
	addHistory
	trimHistory
	putExchange
	addLine
	putJournalHead

	bindCredential
	revokeCredential
	supersedeCredential
	addCredential
	addGrant
	useGrant
	addTicket
	useTicket
	pruneGrants
	pruneTickets
	pruneCredentials

	putTenant
	putCampaign
	putRestoration
	putClock
	putSettings
	putUser
	dropGroups
	addGroup
	putCatalogueProfile
	assign
	unassign
	putPush
	putConsent
	putSerial
	putToken
	putPackage
	putAdmission
	putSecret

	putPreview
	agePreviews
	trimPreviews

	checkpointLog
	statements // their number
)

// deviceColumns is the order in which deviceValues and scanDevice have the columns of a device.
var deviceColumns = []string{
	"user_id", "platform", "life", "registered", "automated", "awaiting", "epoch",
	"registered_at", "enrolled_at", "ended_at", "last_seen",
	"push_topic", "push_magic", "push_token", "push_since", "unreachable",
	"identity", "identity_from", "identity_end", "next", "next_from", "next_end",
	"renewal_asked", "renewal_id", "renewal_tries", "replaced_at",
	"set_version", "seq", "acknowledged", "failed", "format_error", "not_now",
	"support", "heard", "fresh", "android_api", "co_managed", "workloads", "workloads_known", "before_at", "before_complied",
	"wake_due", "wake_reason", "wake_attempt", "number",
}

// texts are what both dialects understand, but for the mark of a parameter.
var texts = [statements]string{
	begin:      "BEGIN IMMEDIATE",
	commit:     "COMMIT",
	rollback:   "ROLLBACK",
	savepoint:  "SAVEPOINT one",
	release:    "RELEASE one",
	rollbackTo: "ROLLBACK TO one",

	addDevice:   insert("devices", append(deviceColumns, "id")...),
	putDevice:   "UPDATE devices SET " + strings.Join(deviceColumns[:len(deviceColumns)-1], "=?, ") + "=? WHERE number=?",
	dropDevice:  "DELETE FROM devices WHERE number=?", // and all that belongs to it
	addRemoved:  upsert("removed", 1, "number", "id"),
	putWake:     "UPDATE devices SET wake_due=?, wake_reason=?, wake_attempt=?, last_seen=? WHERE number=?",
	putCounts:   "UPDATE devices SET wake_due=?, wake_reason=?, wake_attempt=?, last_seen=?, seq=?, acknowledged=?, failed=?, format_error=?, not_now=? WHERE number=?",
	putAddress:  "UPDATE devices SET push_topic=?, push_magic=?, push_token=?, push_since=?, unreachable=?, last_seen=? WHERE number=?",
	moveAddress: "UPDATE devices SET push_token=?, push_since=?, unreachable=?, last_seen=? WHERE number=?",
	putSeen:     "UPDATE devices SET last_seen=? WHERE number=?",
	putSecrets:  upsert("device_secrets", 1, "device", "unlock", "escrow"),
	putFacts:    upsert("facts", 1, "device", "name", "model", "product", "serial", "os_version", "build", "imei", "meid", "hardware", "said", "directory"),

	putProfile:  upsert("device_profiles", 2, "device", "profile", "state", "tries", "at"),
	dropProfile: "DELETE FROM device_profiles WHERE device=? AND profile=?",

	putQueued:   upsert("queue", 2, commandColumns...),
	dropQueued:  "DELETE FROM queue WHERE device=? AND seq=?",
	addHistory:  upsert("history", 2, commandColumns...),
	trimHistory: "DELETE FROM history WHERE device=? AND seq<=?",

	putExchange:    upsert("exchanges", 2, "device", "slot", "nth", "key", "answer"),
	addLine:        insert("journal", "seq", "at", "device", "rule", "what", "detail", "actor", "chain"),
	putJournalHead: upsert("journal_head", 1, "one", "seq", "chain", "mac"),

	bindCredential:      "UPDATE credentials SET device=? WHERE fingerprint=? AND device IN (0, ?)",
	revokeCredential:    "UPDATE credentials SET revoked=1, farewell=? WHERE fingerprint=?",
	supersedeCredential: "UPDATE credentials SET superseded=? WHERE fingerprint=? AND superseded=0",
	addCredential: insert("credentials", "fingerprint", "key", "not_before", "not_after", "purpose", "device", "user_id", "automated", "id",
		"serial", "platform", "revoked", "superseded"),
	addGrant: insert("grants", grantColumns...) + " ON CONFLICT (hash) DO UPDATE SET expires=max(expires, excluded.expires) WHERE used_at=0",
	useGrant: "UPDATE grants SET purpose=?, user_id=?, device=?, id=?, serial=?, platform=?, automated=?, expires=?, used_at=?, scep=?, request=?, key=?, " +
		"certificate=? WHERE hash=?",
	addTicket:        insert("tickets", "hash", "user_id", "platform", "expires", "used_at"),
	useTicket:        "UPDATE tickets SET used_at=? WHERE hash=? AND used_at=0",
	pruneGrants:      "DELETE FROM grants WHERE expires<?",
	pruneTickets:     "DELETE FROM tickets WHERE expires<?",
	pruneCredentials: "DELETE FROM credentials WHERE not_after<?",

	putTenant:           upsert("tenant", 1, "one", "authority", "coexistence", "release", "accept_userless", "epoch", "changed_at", "kept"),
	putCampaign:         upsert("campaign", 1, campaignColumns...),
	putRestoration:      upsert("restoration", 1, "one", "since", "at", "epoch"),
	putClock:            upsert("clock", 1, "one", "at", "off"),
	putSettings:         upsert("settings", 1, settingsColumns...),
	putUser:             upsert("users", 1, "id", "upn", "name", "intune", "basic", "co_managed", "premium", "manager", "removed"),
	dropGroups:          "DELETE FROM user_groups WHERE user_id=?",
	addGroup:            insert("user_groups", "user_id", "place", "name"),
	putCatalogueProfile: upsert("profiles", 1, "number", "authority", "name", "family", "identifier", "payload", "removed"),
	assign:              "INSERT INTO assignments (profile, grp, authority) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
	unassign:            "DELETE FROM assignments WHERE profile=? AND grp=? AND authority=?",
	putPush: upsert("push_certificates", 2, "slot", "not_before", "not_after", "topic", "apple_id", "uploaded_at", "suspended",
		"certificate", "key"),
	putConsent:   upsert("consents", 1, "service", "granted_by", "granted_at"),
	putSerial:    upsert("serials", 1, "serial", "user_id", "awaiting"),
	putToken:     upsert("tokens", 1, "name", "hash", "made", "expires", "revoked", "role"),
	putPackage:   upsert("packages", 1, "name", "certificate", "most", "made", "ends", "revoked"),
	putAdmission: upsert("package_machines", 2, "package", "hardware", "device", "at"),
	putSecret:    upsert("secrets", 1, "name", "value"),

	putPreview: "INSERT INTO previews (id, seq, at, shown) VALUES (?, (SELECT coalesce(max(seq), 0) + 1 FROM previews), ?, ?) " +
		"ON CONFLICT (id) DO UPDATE SET seq=excluded.seq, at=excluded.at",
	agePreviews: "DELETE FROM previews WHERE at<? AND id<>?",
	trimPreviews: "DELETE FROM previews WHERE id IN (SELECT id FROM (" +
		"SELECT id, row_number() OVER newest AS nth, sum(length(shown)) OVER newest AS bytes FROM previews WINDOW newest AS (ORDER BY seq DESC)" +
		") AS ranked WHERE nth>1 AND (nth>? OR bytes>?))",

	checkpointLog: "PRAGMA wal_checkpoint(PASSIVE)",
}

var commandColumns = []string{"device", "seq", "id", "kind", "profile", "pin", "text", "at", "not_now", "status", "result", "errors"}

var grantColumns = []string{
	"purpose", "user_id", "device", "id", "serial", "platform", "automated", "expires", "used_at", "scep", "request", "key",
	"certificate", "hash",
}

func insert(table string, columns ...string) string {
	return "INSERT INTO " + table + " (" + strings.Join(columns, ", ") + ") VALUES (?" + strings.Repeat(", ?", len(columns)-1) + ")"
}

// upsert inserts a row, or replaces the one with the same first columns, as many as keys says.
func upsert(table string, keys int, columns ...string) string {
	set := make([]string, 0, len(columns))
	for _, c := range columns[keys:] {
		set = append(set, c+"=excluded."+c)
	}
	return insert(table, columns...) + " ON CONFLICT (" + strings.Join(columns[:keys], ", ") + ") DO UPDATE SET " + strings.Join(set, ", ")
}

func selectFrom(table string, columns ...string) string {
	return "SELECT " + strings.Join(columns, ", ") + " FROM " + table + " "
}
