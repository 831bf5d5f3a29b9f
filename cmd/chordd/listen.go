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
	variable := envVariable(setting)
	switch {
	case err == nil:
		return l, nil
	case errors.Is(err, syscall.EADDRINUSE):
		advice := fmt.Sprintf("choose another one with --%s or %s", setting, variable)
		if setting == flagAdmin {
			advice += `, or "off"`
		}
		return nil, fmt.Errorf("%s: %s is in use, perhaps by another chordd: stop that, or %s", setting, addr, advice)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return nil, fmt.Errorf("%s: %s is not an address of this machine: choose one with --%s or %s", setting, addr, setting, variable)
	case errors.Is(err, syscall.EACCES):
		return nil, fmt.Errorf("%s: %s: permission denied: choose a port over 1023 with --%s or %s", setting, addr, setting, variable)
	}
	return nil, fmt.Errorf("%s: %w", setting, err)
}
