package conformance

// androidLaterStatements wait for what nobody can be asked about yet (see laterStatements).
var androidLaterStatements = []Statement{
	{
		ID: "AUTH-05.android", Suite: Android, Class: OfIntune, Must: true, Until: "a run can have a tenant whose consent for Google's services is not granted",
		Says:   "Without the consent for Google's services no device of a mode that uses them gets a token or is taken in, and one of a mode without Google is.",
		Source: "authority.md, AUTH-05; android.md 4",
		Why:    "The consent says what of the devices goes to a third party: a device that enrols before it is there has told already.",
		How:    "Tokens are asked for in each mode before the consent is granted and after.",
		Fix:    "Look at the consent where tokens are made and where devices are taken in.",
	},
	{
		ID: "AND-056", Suite: Android, Class: OfIntune, Must: true, Until: "a run can change licences, and an adapter assign profiles of the authority before",
		Says:   "On the licence path the first new policy holds nothing of the old authority.",
		Source: "android.md 13; AUTH-23",
		Why:    "Settings of two authorities in one policy are nobody's to explain.",
		How:    "A device has a profile; its user's licence goes; the next policy and its list of profiles are read.",
		Fix:    "Compile by the authority that the licence leads to.",
	},
	{
		ID: "AND-057", Suite: Android, Class: OfIntune, Must: true, Until: "a run can change licences, and an adapter assign profiles of the authority before",
		Says:   "On the tenant path a namesake of the same family is replaced, others stay, marked with their end, and are gone seven days after the change.",
		Source: "android.md 13; AUTH-26, AUTH-27",
		Why:    "A device that loses its Wi-Fi with the change does not come back for the new one.",
		How:    "Profiles of both authorities are assigned, the authority is changed, and the lists before, after and a week later are compared.",
		Fix:    "Compile old profiles in with removeAfter, and out at that time.",
	},
	{
		ID: "AND-084", Suite: Android, Class: OfAndroid, Must: false, Until: "a server asks for attestation",
		Says:   "Where attestation is required, a wrong challenge, a key in software, a foreign root and another key are each refused with their reason.",
		Source: "android.md 9, 13",
		Why:    "A key that software holds can be copied, and with it the device.",
		How:    "Devices enrol with chains that are wrong in one place each.",
		Fix:    "Check chain, challenge, security level and key of the request.",
	},
	{
		ID: "AND-093", Suite: Android, Class: OfAndroid, Must: true, Until: "a run sees the messages of FCM",
		Says:   "An address that FCM calls UNREGISTERED is not sent to again, and the device comes by its schedule and says another.",
		Source: "android.md 10, 13",
		Why:    "Who goes on sending to ended addresses is throttled for all of them.",
		How:    "An address is ended at the simulated FCM; a command is queued; messages are counted; the device checks in with another address.",
		Fix:    "Forget the address at once; take the one of the next check-in.",
	},
}
