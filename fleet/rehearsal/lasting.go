package rehearsal

import (
	"time"

	"rollcall/fleet"
	"rollcall/server/delivery"
)

// keptFor is how long a record outlives its certificate, where the tenant has set nothing else (AUTH-43).
const keptFor = 180 * 24 * time.Hour

// lasting are the events that are states a device came to, not what it took to get there.
var lasting = map[string]bool{
	string(delivery.WhatEnrolled):         true, // the device says it with the same word
	string(delivery.WhatEnded):            true,
	string(delivery.WhatRegistered):       true,
	string(delivery.WhatProfileInstalled): true,
	string(delivery.WhatProfileFailed):    true,
	string(delivery.WhatProfileRemoved):   true,
	string(delivery.WhatRenewed):          true,
	string(fleet.Renewed):                 true,
	string(fleet.Removed):                 true,
	string(fleet.Wiped):                   true,
	string(fleet.Locked):                  true,
}
