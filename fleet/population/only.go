package population

import "slices"

// NotPlayed is why a device is left out of the result of a rehearsal that was cut short: its turn never came.
const NotPlayed Reason = "not_played"

// Only returns the part of p with the devices of these indices, ascending, and all users. The others count as left out.
func (p *Population) Only(devices []int) *Population {
	out := *p
	out.Devices, out.keys, out.Doubts = make([]Device, len(devices)), nil, nil
	for i, d := range devices {
		out.Devices[i] = p.Devices[d]
	}
	for _, d := range p.Doubts {
		i, there := slices.BinarySearch(devices, d.Device)
		if there {
			d.Device = i
		}
		if there || d.Device < 0 {
			out.Doubts = append(out.Doubts, d)
		}
	}
	out.LeftOut = append(slices.Clone(p.LeftOut), LeftOut{Reason: NotPlayed, Records: len(p.Devices) - len(devices)})
	return &out
}
