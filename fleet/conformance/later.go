package conformance

// laterStatements wait for what nobody can be asked about yet. They are listed, so that nobody takes their absence for a pass.
var laterStatements = []Statement{
	later("APL-039", "GetToken without its parameters is refused, and the token for managed accounts verifies.", "apple.md 5", "tokens of an automated enrolment service are part of a run"),
	later("APL-070", "tokens and declaration-items name the same DeclarationsToken, which changes exactly when the set does.", "apple.md 8", "an adapter can declare"),
	later("APL-071", "A declaration that is gone is 404, a status report 200 with nothing.", "apple.md 8", "an adapter can declare"),
	later("APL-073", "Incremental status merges, a full report replaces.", "apple.md 8", "an adapter can declare"),
	later("APL-074", "Types that the device does not list in its capabilities are not sent.", "apple.md 8", "an adapter can declare"),
	later("APL-080", "A server token with broken lines decrypts, and its end is shown.", "apple.md 10.1", "the enrolment service is simulated"),
	later("APL-081", "A 401 of the enrolment service makes one new session, terms that were not accepted stop it.", "apple.md 10.1", "the enrolment service is simulated"),
	later("APL-082", "A page is read again after a crash, cursors that end or stand still do no harm.", "apple.md 10.2", "the enrolment service is simulated"),
	later("APL-083", "Assignment splits at a thousand and keeps each device's result.", "apple.md 10.2", "the enrolment service is simulated"),
	later("APL-087", "Devices without a user are known from their automated enrolment alone.", "apple.md 10.5", "an adapter can assign a serial number to nobody"),
	later("APL-108", "A vendor-signed request for a push certificate has its three keys, and the signature verifies.", "apple.md 13.1", "an adapter can ask for the request"),
	later("HST-017", "SyncML that is out of order gets the protocol's status.", "hostile.md 1", "Windows is spoken"),
	later("HST-018", "SOAP enrolment takes exactly one element at exactly its path.", "hostile.md 1", "Windows is spoken"),
	later("HST-043", "An enrolment bearer token is verified before anything in it is read.", "hostile.md 3", "Windows is spoken"),
}

func later(id, says, source, until string) Statement {
	return Statement{ID: id, Suite: Apple, Class: OfApple, Must: true, Says: says, Source: source, Until: until}
}
