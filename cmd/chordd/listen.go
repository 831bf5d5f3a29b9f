package main

import (
	"errors"
	"fmt"
	"net"
	"syscall"
)

// listen binds an address of the setting with the given name, and says what to do if that does not work.
func listen(setting, addr string) (net.Listener, error) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, explainListen(setting, addr, err)
	}
	return l, nil
}

// explainListen says what to do if the address of the setting cannot be bound.
func explainListen(setting, addr string, err error) error {
	variable := envVariable(setting)
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		advice := fmt.Sprintf("choose another one with --%s or %s", setting, variable)
		if setting != flagListen {
			advice += `, or "off"`
		}
		return fmt.Errorf("%s: %s is in use, perhaps by another chordd: stop that, or %s", setting, addr, advice)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return fmt.Errorf("%s: %s is not an address of this machine: choose one with --%s or %s", setting, addr, setting, variable)
	case errors.Is(err, syscall.EACCES):
		return fmt.Errorf("%s: %s: permission denied: choose a port over 1023 with --%s or %s", setting, addr, setting, variable)
	}
	return fmt.Errorf("%s: %w", setting, err)
}
