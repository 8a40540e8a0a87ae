package fleet

// A Heap gives back what was put into it in order: the first of it is what comes before all the rest. It is four-ary, an array without
// a pointer an entry. The zero Heap is empty.
type Heap[T interface{ Before(T) bool }] []T

// Push puts x in.
func (h *Heap[T]) Push(x T) {
	all := append(*h, x)
	i := len(all) - 1
	for i > 0 {
		parent := (i - 1) / 4
		if !x.Before(all[parent]) {
			break
		}
		all[i] = all[parent]
		i = parent
	}
	all[i] = x
	*h = all
}

// Pop takes the first out. There must be one.
func (h *Heap[T]) Pop() T {
	all := *h
	top, last := all[0], all[len(all)-1]
	all = all[:len(all)-1]
	*h = all
	for i := 0; len(all) > 0; {
		least := 4*i + 1
		if least >= len(all) {
			all[i] = last
			break
		}
		for c := least + 1; c < min(4*i+5, len(all)); c++ {
			if all[c].Before(all[least]) {
				least = c
			}
		}
		if !all[least].Before(last) {
			all[i] = last
			break
		}
		all[i] = all[least]
		i = least
	}
	return top
}
