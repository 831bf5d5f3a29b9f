package node

import "time"

// contact is what a process knows of its Contact, in Unix milliseconds.
type contact struct {
	since, until int64
	held         bool  // it is in contact, and has looked last at until
	touched      int64 // up to when it has missed nothing by what others in contact say, but is not reconciled with all yet
	waiting      int64 // since when it is not held; 0: it has joined without records
	rounds       int   // since then, or since it was cut off: how often nobody knew that it has missed too much
}

// recallContact notes the contact of an earlier run.
func (m *memory) recallContact(c Contact) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.contact = contact{since: millis(c.Since), until: millis(c.Until)}
}

// beginContact notes that the process has become a member. It reports whether it was one before.
func (m *memory) beginContact(at time.Time, founder bool) (back bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	c, now := &m.contact, millis(at)
	if c.until > 0 {
		c.touched, c.waiting = c.until, now
		return true
	}
	*c = contact{since: now, until: now, touched: now, held: founder && m.recalled == 0}
	return false
}

// contactNow returns the contact up to when the process looked last, and whether it went on then.
func (m *memory) contactNow() Contact {
	m.mu.Lock()
	defer m.mu.Unlock()
	return Contact{ofMillis(m.contact.since), ofMillis(m.contact.until), m.contact.held}
}

// reach returns the contact that the process has at least, and since when it waits to be in contact again.
func (m *memory) reach() (c Contact, waiting time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return Contact{Since: ofMillis(m.contact.since), Until: ofMillis(max(m.contact.touched, m.contact.until))}, ofMillis(m.contact.waiting)
}

// loseContact ends the contact.
func (m *memory) loseContact(now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.contact.held, m.contact.touched, m.contact.waiting, m.contact.rounds = false, m.contact.until, millis(now), 0
}

// extendContact notes that the contact goes on.
func (m *memory) extendContact(now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.contact.until = millis(now)
}

// round notes that nobody knew that the process has missed too much, or that it is cut off and cannot tell.
func (m *memory) round(cut bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.contact.rounds++; cut {
		m.contact.rounds = 0
	}
}

// doubts reports whether the process may have missed more than so much: it was out of contact for longer, and has not asked around twice yet.
func (m *memory) doubts(much time.Duration, now time.Time) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	c := &m.contact
	return c.until > 0 && !c.held && c.rounds < 2 && millis(now)-max(c.until, c.touched) > much.Milliseconds()
}

// touch notes that the process has missed nothing.
func (m *memory) touch(now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.contact.touched = millis(now)
}

// gainContact begins a contact with the cluster that has gone on since a time.
func (m *memory) gainContact(since, now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.contact = contact{since: millis(since), until: millis(now), held: true}
}

func millis(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

func ofMillis(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms)
}
