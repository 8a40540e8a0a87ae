package rehearsal

// Plainly has every round of the loop go through Server.Handle, over a store that many could use.
func (c *LoopConfig) Plainly() { c.plain = true }
