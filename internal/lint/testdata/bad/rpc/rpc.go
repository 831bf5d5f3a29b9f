// Package rpc has no doc.go. // want "a package without doc.go is banned, use doc.go for what the package is and knows nothing of"
package rpc

import (
	"fmt"

	"github.com/rs/zerolog"

	"example.com/bad/sim" // want "sim is banned in rpc, use what stands left of it in ring <- node <- {rpc, sim} <- cmd (rule 4)"
)

type Peers struct{ log zerolog.Logger } // want "exported Peers without a comment is banned in rpc, use one that says shapes, units, errors"

func Dial() { // want "exported Dial without a comment is banned in rpc, use one that says shapes, units, errors"
	fmt.Println(sim.Seed) // want "fmt.Println is banned in rpc, use an error, Events or an io.Writer that the caller passes"
}

func (p *Peers) Close() {} // want "exported Close without a comment is banned in rpc, use one that says shapes, units, errors"

func (p *Peers) String() string { return "" }

type (
	Client  struct{} // want "exported Client without a comment is banned in rpc, use one that says shapes, units, errors"
	private struct{}
)

func (private) Exported() {}

var Port = func() int { // want "exported Port without a comment is banned in rpc, use one that says shapes, units, errors"
	return 1
}

// Limits of the wire.
const (
	MaxKey   = 1
	MaxValue = 2
)
