package cli

// Style colors text, or leaves it as it is: the zero value does.
type Style struct{ on bool }

// NewStyle returns the style of a stream. Colors are for terminals, without --no-color and without NO_COLOR, which may have any value
// but none (no-color.org).
func NewStyle(tty, noColor bool, lookupEnv func(string) (string, bool)) Style {
	env, _ := lookupEnv("NO_COLOR")
	return Style{on: tty && !noColor && env == ""}
}

// Red is for what failed.
func (s Style) Red(text string) string { return s.paint("31", text) }

// Green is for what is as it should be.
func (s Style) Green(text string) string { return s.paint("32", text) }

// Bold is for titles.
func (s Style) Bold(text string) string { return s.paint("1", text) }

func (s Style) paint(code, text string) string {
	if !s.on || text == "" {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}
