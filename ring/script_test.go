package ring

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"
)

// TestScripts runs the scripts in testdata, whose expected output is the trace: after each event the members with their pointers, and the
// broken properties. -rewrite regenerates it. The space has 256 identifiers, or those that ring n=... says.
//
//	rules zave|literal|ton               the operations of State (the default), of [Zave] to the letter, or of [ToN]
//	ring [n=256] [r=2] members=(0,2,4)   start over with an ideal ring
//	join 3 via 2 [at=ADDRESS]            refused if 2 is not the node before it
//	fail 0
//	stabilize 4 [notify=no]              with the notify and what follows from it, or not
//	rectify 4 from=2                     2 notifies 4
//	check-predecessor 4                  of [ToN] only
//	settle                               rounds of stabilize until nothing changes
//	claim 4 pred=2 succs=(5,6)           give a member any state: it lies, or is broken
//	fix-fingers 4                        one pass, answered by an oracle that knows the members
//	route 7 from=0 [avoid=(2,4)]         the steps of a lookup
//	check                                State.Check of all members, CheckRing and CheckIdeal
//
// Lines of input under a command are more commands, and only the last is traced.
func TestScripts(t *testing.T) {
	datadriven.Walk(t, "testdata", func(t *testing.T, path string) {
		s := &script{rules: shipped{}}
		datadriven.RunTest(t, path, func(t *testing.T, td *datadriven.TestData) string {
			out := s.do(strings.Fields(strings.ReplaceAll(td.FullCmd(), ", ", ",")))
			for line := range strings.Lines(td.Input) {
				if strings.HasPrefix(out, "refused") {
					td.Fatalf(t, "%s", out)
				}
				out = s.do(strings.Fields(line))
			}
			return out
		})
	})
}

type script struct {
	rules rules
	w     *world
}

// do runs one command. Unknown commands and malformed arguments panic: a script is code.
func (s *script) do(words []string) string {
	cmd, args := words[0], words[1:]
	switch cmd {
	case "rules":
		s.rules = map[string]rules{"zave": shipped{}, "literal": literal{}, "ton": ton{}}[args[0]]
		if s.w != nil {
			s.w.rules = s.rules
		}
		return ""
	case "ring":
		s.w = newWorld(intArg(args, "n", 256), intArg(args, "r", 2), s.rules, ints(arg(args, "members"))...)
	case "join":
		j := point(number(args[0]))
		if addr := arg(args, "at"); addr != "" {
			j.Addr = addr
		}
		if m := number(args[2]); !s.w.join(j, m) {
			return fmt.Sprintf("refused: %d is not the node before %s\n", m, label(j))
		}
	case "fail":
		s.w.fail(number(args[0]))
	case "stabilize":
		if t := s.w.state(args[0]); arg(args, "notify") == "no" {
			s.w.rules.stabilize(s.w, t)
		} else {
			s.w.stabilize(number(args[0]))
		}
	case "rectify":
		s.w.notify(s.w.state(args[0]).self, point(intArg(args, "from", 0)))
	case "check-predecessor":
		s.w.checkPredecessor(number(args[0]))
	case "settle":
		return s.settle()
	case "claim":
		m := s.w.state(args[0])
		m.pred, m.succs = point(intArg(args, "pred", 0)), points(ints(arg(args, "succs"))...)
	case "fix-fingers":
		m := s.w.state(args[0])
		calls := fixFingers(m, s.w.owner)
		return fmt.Sprintf("%d lookups, fingers %s\n", calls, labels(m.Fingers()))
	case "route":
		return s.route(point(number(args[0])).ID, s.w.state(fmt.Sprint(intArg(args, "from", 0))), ints(arg(args, "avoid")))
	case "check":
		return s.check()
	default:
		panic("unknown command " + cmd)
	}
	return s.trace()
}

// trace shows the members and the broken properties; where only the base is missing it says so.
func (s *script) trace() string {
	var b strings.Builder
	b.WriteString(s.w.String())
	for _, broken := range CheckRing(s.w.views(), s.w.r) {
		fmt.Fprintf(&b, "BROKEN %s\n", readable(broken))
	}
	return b.String()
}

// check adds what only it looks at.
func (s *script) check() string {
	var b strings.Builder
	for i := range s.w.nodes {
		if s.w.live[i] {
			if err := s.w.nodes[i].Check(); err != nil {
				fmt.Fprintln(&b, readable(err))
			}
		}
	}
	for _, broken := range CheckRing(s.w.views(), s.w.r) {
		fmt.Fprintln(&b, readable(broken))
	}
	if err := CheckIdeal(s.w.views(), s.w.r); err != nil {
		fmt.Fprintln(&b, readable(err))
	}
	if b.Len() == 0 {
		return "ideal\n"
	}
	return b.String()
}

// settle runs rounds until one changes nothing.
func (s *script) settle() string {
	for round := range 20 {
		before := s.w.String()
		s.w.round(true)
		if s.w.String() == before {
			return fmt.Sprintf("%d rounds\n%s%s", round, s.trace(), s.check())
		}
	}
	return "still changing after 20 rounds\n" + s.trace()
}

// route walks from a node to the owner of x, avoiding the given nodes and the dead that it meets.
func (s *script) route(x ID, from *State, avoid []int) string {
	var b strings.Builder
	avoided := points(avoid...)
	for at := from; ; {
		step := at.Route(x, func(id ID) bool { return slices.ContainsFunc(avoided, func(r Ref) bool { return r.ID == id }) })
		kind := "go to"
		if step.Covered {
			kind = "covered by"
		}
		fmt.Fprintf(&b, "%s: %s %s\n", label(at.self), kind, labels(step.Nodes))
		if len(step.Nodes) == 0 {
			return b.String()
		}
		next := s.w.member(step.Nodes[0])
		switch {
		case next == nil:
			fmt.Fprintf(&b, "%s does not answer\n", label(step.Nodes[0]))
			avoided = append(avoided, step.Nodes[0])
			continue
		case step.Covered:
			return b.String()
		}
		at = next
	}
}

func (w *world) state(word string) *State {
	i := number(word)
	if !w.live[i] {
		panic(word + " is not a member")
	}
	return &w.nodes[i]
}

// owner returns the first member from id on.
func (w *world) owner(id ID) Ref {
	for i := range w.nodes {
		if w.live[i] && !point(i).ID.Less(id) {
			return w.nodes[i].self
		}
	}
	return w.nodes[slices.Index(w.live, true)].self
}

// readable shortens the identifiers in a message of the package: 03000000@n3 becomes 3.
func readable(err error) string {
	text := err.Error()
	for _, p := range allPoints {
		text = strings.ReplaceAll(text, p.String(), label(p))
	}
	return text
}

// arg returns the value of a word key=value, "" if there is none.
func arg(words []string, key string) string {
	for _, w := range words {
		if value, ok := strings.CutPrefix(w, key+"="); ok {
			return value
		}
	}
	return ""
}

func intArg(words []string, key string, otherwise int) int {
	if value := arg(words, key); value != "" {
		return number(value)
	}
	return otherwise
}

// ints reads (1,2,3).
func ints(list string) (out []int) {
	for _, word := range strings.FieldsFunc(list, func(c rune) bool { return strings.ContainsRune("(),", c) }) {
		out = append(out, number(word))
	}
	return out
}

func number(word string) int {
	i, err := strconv.Atoi(word)
	if err != nil {
		panic(err)
	}
	return i
}
