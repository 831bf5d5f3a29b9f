package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	// sourceTimeout bounds one look at all of --join: a resolver that hangs delays a round by that, and nothing else.
	sourceTimeout = 2 * time.Second
	// maxSourceBytes bounds a file that --join names.
	maxSourceBytes = 1 << 20
	// maxBadLines is how many malformed lines of such a file one warning names.
	maxBadLines = 5
	// maxNameBytes is the length of the longest name of the DNS, with its last dot.
	maxNameBytes = 254
)

// errNamesNobody: a source was read, and nobody is there yet. That counts as failed, so that no process takes itself for the first one.
var errNamesNobody = errors.New("it names nobody")

// source is one value of --join: where addresses of members come from, anew each time.
type source interface {
	// resolve returns HOST:PORT of processes. With an error, those that it found nevertheless.
	resolve(ctx context.Context, r *net.Resolver) ([]string, error)
}

// The kinds of sources.
type (
	addrSource string   // HOST:PORT
	dnsSource  struct { // dns://NAME:PORT, every A and AAAA record
		name string
		port int
	}
	srvSource  string // dnssrv://_SERVICE._PROTO.NAME, every SRV record
	fileSource string // file://PATH, a HOST:PORT a line
)

var (
	_ source = addrSource("")
	_ source = dnsSource{}
	_ source = srvSource("")
	_ source = fileSource("")
)

const schemeMark = "://"

var (
	hostName  = regexp.MustCompile(`^[\w-]{1,63}(\.[\w-]{1,63})*\.?$`)
	srvPrefix = regexp.MustCompile(`^_[\w-]+\._[\w-]+\.[\w-]`)
)

// parseSource returns what a value of --join stands for.
func parseSource(text string) (source, error) {
	scheme, rest, found := strings.Cut(text, schemeMark)
	if !found {
		return addrSource(text), checkSeed(text)
	}
	switch scheme {
	case "dns":
		return parseDNS(rest)
	case "dnssrv":
		if !isName(rest) || !srvPrefix.MatchString(rest) {
			return nil, fmt.Errorf("%q, want dnssrv://_SERVICE._PROTO.NAME without a port, for example dnssrv://_chord._tcp.chord.example.com", text)
		}
		return srvSource(rest), nil
	case "file":
		if rest == "" {
			return nil, fmt.Errorf("%q, want file://PATH, for example file:///etc/chord/members", text)
		}
		return fileSource(rest), nil
	}
	return nil, fmt.Errorf("%q, want HOST:PORT, dns://NAME, dnssrv://_SERVICE._PROTO.NAME or file://PATH", text)
}

// parseDNS takes what follows dns://, a name with or without a port.
func parseDNS(rest string) (source, error) {
	s := dnsSource{name: rest, port: defaultPort}
	if strings.Contains(rest, ":") {
		var err error
		if s.name, s.port, err = splitAddr(rest); err != nil || s.port == 0 {
			return nil, fmt.Errorf("%q, want dns://NAME or dns://NAME:PORT with a port from 1 to 65535", "dns://"+rest)
		}
	}
	if !isName(s.name) {
		return nil, fmt.Errorf("%q, want a host name, for example dns://chord.example.com:%d", "dns://"+rest, defaultPort)
	}
	return s, nil
}

func isName(text string) bool { return len(text) <= maxNameBytes && hostName.MatchString(text) }

// checkSeed refuses what is no address of a process.
func checkSeed(addr string) error {
	if host, port, err := splitAddr(addr); err != nil {
		return err
	} else if isUnspecified(host) || port == 0 {
		return fmt.Errorf("%s is not an address that can be reached; give a host and a port", addr)
	}
	return nil
}

// hasSources reports whether --join has more than addresses. Such a process never founds a ring because it finds nobody.
func (c Config) hasSources() bool {
	return slices.ContainsFunc(c.Join, func(text string) bool { return strings.Contains(text, schemeMark) })
}

func (s addrSource) resolve(context.Context, *net.Resolver) ([]string, error) {
	return []string{string(s)}, nil
}

func (s dnsSource) resolve(ctx context.Context, r *net.Resolver) ([]string, error) {
	ips, err := r.LookupNetIP(ctx, "ip", s.name)
	var addrs []string
	for _, ip := range ips {
		addrs = append(addrs, netip.AddrPortFrom(ip.Unmap(), uint16(s.port)).String())
	}
	return reachable(addrs, err)
}

func (s srvSource) resolve(ctx context.Context, r *net.Resolver) ([]string, error) {
	_, records, err := r.LookupSRV(ctx, "", "", string(s)) // with an error, those that it could read
	var addrs []string
	for _, srv := range records {
		addrs = append(addrs, net.JoinHostPort(strings.TrimSuffix(srv.Target, "."), strconv.Itoa(int(srv.Port))))
	}
	return reachable(addrs, err)
}

// reachable leaves out of what the DNS has answered that which is no address of a process.
func reachable(addrs []string, err error) ([]string, error) {
	errs := []error{err}
	addrs = slices.DeleteFunc(addrs, func(addr string) bool {
		bad := checkSeed(addr)
		errs = append(errs, bad)
		return bad != nil
	})
	return addrs, errors.Join(errs...)
}

func (s fileSource) resolve(context.Context, *net.Resolver) ([]string, error) {
	path := string(s)
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Size() > maxSourceBytes { // reading a pipe might never end
		return nil, fmt.Errorf("%s: want a regular file of at most %d bytes", path, maxSourceBytes)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var addrs []string
	var errs []error
	number := 0
	for line := range strings.Lines(string(text)) {
		number++
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		if err := checkSeed(line); err == nil {
			addrs = append(addrs, line)
		} else if len(errs) < maxBadLines {
			errs = append(errs, fmt.Errorf("%s:%d: %w", path, number, err))
		}
	}
	return addrs, errors.Join(errs...)
}

// lookout is where the ring may be found at the moment.
type lookout struct {
	addrs []string // of others, sorted: what --join leads to, and the peers that the data directory remembers
	own   bool     // --join leads to this process too
	gaps  bool     // some of --join could not be resolved
}

// look resolves all of --join, anew each time: names and files change. What cannot be resolved is left out this time.
func (p *process) look(ctx context.Context) lookout {
	bounded, cancel := context.WithTimeout(ctx, sourceTimeout)
	defer cancel()
	found, errs := make([][]string, len(p.cfg.Join)), make([]error, len(p.cfg.Join))
	var lookups sync.WaitGroup
	for i, text := range p.cfg.Join {
		lookups.Go(func() {
			var s source
			if s, errs[i] = parseSource(text); errs[i] == nil {
				found[i], errs[i] = s.resolve(bounded, p.resolver)
			}
		})
	}
	lookups.Wait()

	var l lookout
	for i, text := range p.cfg.Join {
		err := errs[i]
		if err == nil && len(found[i]) == 0 {
			err = errNamesNobody
		}
		if err != nil && ctx.Err() == nil {
			p.complaints.do("source "+text, func() {
				p.log.Warn().Str("source", text).Int("found", len(found[i])).Err(err).Msg("cannot resolve a source of --join; trying it again each time")
			})
		}
		l.gaps = l.gaps || err != nil
		l.addrs = append(l.addrs, found[i]...)
	}
	l.own = slices.Contains(l.addrs, p.local.Addr)
	if p.dir != nil {
		l.addrs = append(l.addrs, p.dir.Peers()...)
	}
	slices.Sort(l.addrs)
	l.addrs = slices.DeleteFunc(slices.Compact(l.addrs), func(a string) bool { return a == p.local.Addr })
	return l
}

// candidates returns the addresses where the ring may be found.
func (p *process) candidates(ctx context.Context) []string { return p.look(ctx).addrs }

// mayBegin decides whether a process with sources begins alone: it was told to, and they say that there is nobody else. One that fails or is
// empty does not say so, nor does one that names who does not answer.
func (p *process) mayBegin(l lookout, s survey) bool {
	alone := !l.gaps && (l.own || s.self > 0) && s.self == len(l.addrs)
	return p.cfg.hasSources() && p.cfg.Bootstrap == 1 && alone
}

// nobody says why there is no one to ask.
func (l lookout) nobody() error {
	if l.own && !l.gaps {
		return errors.New("--join leads to this process alone: start others, or add --bootstrap-expect 1 to let it begin alone")
	}
	return errors.New("--join leads to no other process at the moment, and that is no reason to start a new ring: correct what it names, or start others")
}
