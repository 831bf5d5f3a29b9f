// Package node does what the node must not.
package node
