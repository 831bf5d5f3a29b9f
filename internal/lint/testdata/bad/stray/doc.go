// Package stray is in no row of the table.
package stray

import _ "example.com/bad/ring" // want "stray has no place among the packages of docs/design.md (rule 4)"
