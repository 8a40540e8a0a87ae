package protocol

// Management is who manages a device. Zero: nobody said.
type Management struct {
	Authority Authority `json:"authority"`
	Since     Time      `json:"since"` // when the device was registered there
	Rule      Rule      `json:"rule"`  // that decided; empty: the device is to move, or the change is still to come

	Replaced Time `json:"replaced,omitzero"` // since when the device was enrolled whose place this one takes by having its identifier (HST-032); 0: none
}
