package conformance

// androidLaterStatements wait for what nobody can be asked about yet (see laterStatements).
var androidLaterStatements = []Statement{
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
}
