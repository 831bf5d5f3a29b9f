package experiment

import (
	"fmt"

	"github.com/chordkv/chord/node"
)

func reportStretch(r *Report, p Params, done []stretchPoint) {
	t := r.AddTable("stretch", fmt.Sprintf("Stretch of lookups among %s nodes (table IV)", groupDigits(int64(p.Int("nodes")))),
		Column{Name: "network", Of: Given},
		Column{Name: "base", Of: Given, Doc: "of the fingers"},
		Column{Name: "candidates", Head: "s", Of: Given, Doc: "candidates for each finger"},
		Column{Name: "wrong", Doc: "lookups that failed or ended at another node than the owner"},
		Column{Name: "style", Of: Given},
		Column{Name: "calls", Digits: 2, Doc: "mean, that to the owner included"},
		Column{Name: "answered", Digits: 2, Doc: "median, until the owner has answered"},
		Column{Name: "answered_p10", Head: "10th", Digits: 2, Doc: "percentile of that"},
		Column{Name: "answered_p90", Head: "90th", Digits: 2, Doc: "percentile of that"},
		Column{Name: "named", Digits: 2, Doc: "median, until the asker is told who the owner is"},
		Column{Name: "named_p10", Head: "10th", Digits: 2, Doc: "percentile of that"},
		Column{Name: "named_p90", Head: "90th", Digits: 2, Doc: "percentile of that"},
		Column{Name: "paper", Of: Paper, Digits: 1, Doc: "median, until the asker is told"},
		Column{Name: "paper_p10", Head: "10th", Of: Paper, Digits: 1},
		Column{Name: "paper_p90", Head: "90th", Of: Paper, Digits: 1},
		Column{Name: "verdict", Doc: "every lookup right; in the paper's space the median until the owner is named at most the paper's, and with 16 candidates at most 3.4 iteratively and 1.5 recursively"},
	)
	f := r.AddFigure("stretch", "Median stretch until the owner is named, base 2", Axis{Label: "candidates for each finger", Log2: true}, Axis{Label: "stretch", FromZero: true})
	lines := map[string]*Line{}
	line := func(name string, of Origin, mark Mark) *Line {
		if lines[name] == nil {
			lines[name] = f.AddLine(name, of, mark)
		}
		return lines[name]
	}
	for _, pt := range done {
		for _, style := range []node.Style{node.Iterative, node.Recursive} {
			s := pt.Styles[style]
			row := []any{
				pt.Network, pt.Base, pt.Candidates, pt.Wrong, style.String(), s.Calls, s.Answered[0], s.Answered[1], s.Answered[2], s.Named[0], s.Named[1], s.Named[2],
				nil, nil, nil, Demand(pt.Wrong == 0, "%d wrong", pt.Wrong),
			}
			if paper, ok := pt.paper(p, style); ok {
				most := paper[0]
				if pt.Candidates == 16 && style == node.Recursive {
					most = 1.5
				}
				row[12], row[13], row[14] = paper[0], paper[1], paper[2]
				row[15] = Demand(pt.Wrong == 0 && s.Named[0] <= most, "%.2f, at most %.1f", s.Named[0], most)
			}
			t.Add(row...)
			if pt.Base == 2 {
				line(fmt.Sprintf("%v, %s", style, pt.Network), Ours, Curve).Add(float64(pt.Candidates), s.Named[0])
				if paper, ok := pt.paper(p, style); ok {
					line(fmt.Sprintf("%v, %s, paper", style, pt.Network), Paper, Dots).Add(float64(pt.Candidates), paper[0])
				}
			}
		}
	}
}

// paper returns the figures of the paper for a ring, whatever the base of its fingers: the paper has base 2.
func (pt *stretchPoint) paper(p Params, style node.Style) (figures [3]float64, ok bool) {
	if pt.Network != netSpace || p.Int("nodes") != stretchNodes {
		return figures, false
	}
	for _, f := range tonTable4 {
		if f.candidates == pt.Candidates {
			if style == node.Recursive {
				return f.recursive, true
			}
			return f.iterative, true
		}
	}
	return figures, false
}
