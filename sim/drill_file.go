package sim

import (
	"embed"
	"fmt"
	"strings"
)

//go:embed drills
var shippedDrills embed.FS

// Drills returns the names of the drills that come with the program, for ReadDrill.
func Drills() []string {
	entries, err := shippedDrills.ReadDir("drills")
	if err != nil {
		panic("sim: embedded drills: " + err.Error())
	}
	var names []string
	for _, e := range entries {
		names = append(names, strings.TrimSuffix(e.Name(), ".drill"))
	}
	return names
}

// ReadDrill returns a drill that comes with the program. Errors: there is none of that name.
func ReadDrill(name string) (*Drill, error) {
	text, err := shippedDrills.ReadFile("drills/" + name + ".drill")
	if err != nil {
		return nil, fmt.Errorf("no drill %q; there are %s", name, strings.Join(Drills(), ", "))
	}
	return ParseDrill(string(text))
}
