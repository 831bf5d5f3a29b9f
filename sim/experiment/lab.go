package experiment

import "context"

// Experiment is a study that anybody can repeat from its name.
type Experiment struct {
	Name   string // on the command line: lower-case words with dashes
	Title  string // one line: what is measured
	Source string // the paper and its figure or table; empty or "none" if nobody has published it
	About  string // the set-up, how it is measured and where it differs from the paper; blank lines part paragraphs

	Params []Param // everything that can be set, in the order of the report

	// Run measures. When ctx ends it returns what it has so far, which may be nil, together with the error of ctx; any other error means
	// that the experiment could not be carried out. A figure that misses the paper's is no error but a Verdict. Progress may be nil.
	Run func(ctx context.Context, p Params, progress *Progress) (*Report, error)
}

// Defaults returns the parameters of the experiment in full size, or in the size that ends within seconds. The seed is 1.
func (e *Experiment) Defaults(quick bool) Params {
	p := Params{Seed: 1, Quick: quick, Workers: 1, declared: e.Params, values: make([]any, len(e.Params))}
	for i, d := range e.Params {
		p.values[i] = d.Full
		if quick {
			p.values[i] = d.Quick
		}
		checkKind(d.Name, p.values[i])
	}
	return p
}
