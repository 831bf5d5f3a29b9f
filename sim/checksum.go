package sim

// checksum folds the steps of a run into one word. It is no defense against malice: two runs that differ have the same one with
// probability 2^-64.
type checksum uint64

func (c *checksum) add(s Step) {
	what := uint64(s.From+1)<<36 ^ uint64(s.To+1)<<8 ^ uint64(s.Kind)<<4 ^ uint64(s.Method)
	*c = checksum(scramble(uint64(*c) ^ uint64(s.At)*golden ^ what*mixA))
}
