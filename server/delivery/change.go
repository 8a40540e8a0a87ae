package delivery

// What a change of the tenant's authority brings.
const (
	WhatDenied       What = "change denied"                 // to an administrator, by rule
	WhatUnchanged    What = "nothing changed"               // by an administrator, who wanted what is so already
	WhatAuthority    What = "authority changed"             // of the tenant: Detail says from what to what
	WhatMoved        What = "moved"                         // to another authority: Detail says from which to which
	WhatReregistered What = "registered anew"               // in a newer epoch, its authority unchanged
	WhatBlocked      What = "blocked"                       // first refusal in a gap
	WhatSupportMove  What = "support move"                  // ordered
	WhatGapOpened    What = "push gap opened"               // AUTH-30
	WhatGapClosed    What = "push gap closed"               // AUTH-31
	WhatConsent      What = "consent granted"               // AUTH-05
	WhatLicences     What = "licences changed"              // of one user: Detail names it
	WhatSettings     What = "settings changed"              // of the tenant
	WhatRestored     What = "record restored"               // the device was heard of again (AUTH-48)
	WhatRecalled     What = "identity recalled"             // issued after the backup that the server was restored from (HST-101)
	WhatForgotten    What = "unknown since the restoration" // a device that enrolled after the backup (HST-101)
	WhatRedundant    What = "profile redundant"             // left behind by a change (AUTH-26)
	WhatOverwritten  What = "profile overwritten"
	WhatWorkloads    What = "workloads changed" // of a co-managed client (AUTH-51)
	WhatAssignedLate What = "assigned late"     // the first of a family since the change of authority: Detail says how late (AUTH-38)
	WhatBlast        What = "many devices"      // are about to be wiped or stranded: written before it is done (HST-071)
)
