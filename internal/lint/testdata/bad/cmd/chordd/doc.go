// Command chordd may print.
package main

import (
	"fmt"
	"log"

	"example.com/bad/rpc"
)

func main() {
	log.SetFlags(0)
	rpc.Dial()
	fmt.Println()
}
