package rpc

import (
	"encoding/binary"

	"github.com/chordkv/chord/node"
	chordv1 "github.com/chordkv/chord/proto/chord/v1"
	"github.com/chordkv/chord/ring"
)

// versionToProto returns nil for the zero Version.
func versionToProto(v node.Version) *chordv1.Version { return setVersion(new(chordv1.Version), v) }

// setVersion is versionToProto with a message at hand.
func setVersion(m *chordv1.Version, v node.Version) *chordv1.Version {
	if v.IsZero() {
		return nil
	}
	m.Time, m.Origin = v.Time, v.Origin
	return m
}

// versionFromProto reads what versionToProto writes: nil is the zero Version.
func versionFromProto(m *chordv1.Version) node.Version {
	return node.Version{Time: m.GetTime(), Origin: m.GetOrigin()}
}

// versionsToProto makes room for all messages of the list at once, as do the other functions for what goes by the dozen.
func versionsToProto(versions []node.Version) []*chordv1.Version {
	list, room := make([]*chordv1.Version, len(versions)), make([]chordv1.Version, len(versions))
	for i, v := range versions {
		room[i].Time, room[i].Origin = v.Time, v.Origin
		list[i] = &room[i]
	}
	return list
}

func versionsFromProto(list []*chordv1.Version) []node.Version {
	versions := make([]node.Version, len(list))
	for i, m := range list {
		versions[i] = versionFromProto(m)
	}
	return versions
}

// requestToProto returns the bytes of r, or nil for the zero RequestID.
func requestToProto(r *node.RequestID) []byte {
	if *r == (node.RequestID{}) {
		return nil
	}
	return r[:]
}

func requestFromProto(field string, b []byte) (node.RequestID, error) {
	switch len(b) {
	case 0:
		return node.RequestID{}, nil
	case len(node.RequestID{}):
		return node.RequestID(b), nil
	}
	return node.RequestID{}, badField(field, "want %d bytes or none, got %d", len(node.RequestID{}), len(b))
}

// maxWireTime is the last time that a version can have, in milliseconds since 1970.
const maxWireTime = 1<<48 - 1

func checkWireKey(field string, key []byte) error {
	if len(key) < 1 || len(key) > maxWireKey {
		return badField(field, "%d bytes, want 1 to %d", len(key), maxWireKey)
	}
	return nil
}

// recordMessage is a message with all that it points to, for a single allocation.
type recordMessage struct {
	record  chordv1.Record
	version chordv1.Version
}

// set keeps pointing to the slices and the request id of r.
func (m *recordMessage) set(r *node.Record) *chordv1.Record {
	m.record.Key, m.record.Value, m.record.Tombstone = r.Key, r.Value, r.Tombstone
	m.record.Expires = r.Expires
	m.record.Request, m.record.Version = requestToProto(&r.Request), setVersion(&m.version, r.Version)
	if r.History != "" {
		m.record.History = []byte(r.History)
	}
	m.record.Manifest = r.Manifest
	return &m.record
}

func recordFromProto(m *chordv1.Record) (node.Record, error) {
	if m == nil {
		return node.Record{}, badField("record", "missing")
	}
	if err := checkWireKey("record.key", m.Key); err != nil {
		return node.Record{}, err
	}
	if m.Tombstone && m.Manifest {
		return node.Record{}, badField("record.manifest", "a tombstone")
	}
	if m.Tombstone && len(m.Value) > 0 {
		return node.Record{}, badField("record.value", "%d bytes in a tombstone", len(m.Value))
	}
	request, err := requestFromProto("record.request", m.Request)
	if err != nil {
		return node.Record{}, err
	}
	r := node.Record{
		Key: m.Key, Value: m.Value, Version: versionFromProto(m.Version), Tombstone: m.Tombstone, Expires: m.Expires, Request: request,
		History: node.History(m.History), Manifest: m.Manifest,
	}
	if r.Expires < 0 || r.Expires > maxWireTime {
		return node.Record{}, badField("record.expires", "%d, want 0 to %d", r.Expires, int64(maxWireTime))
	}
	if err := r.History.Check(); err != nil {
		return node.Record{}, badField("record.history", "%v", err)
	}
	if r.Version.IsZero() {
		return node.Record{}, badField("record.version", "missing")
	}
	r.Value = valueFromProto(m.Value, !m.Tombstone)
	return r, nil
}

// valueFromProto tells an empty value from none: both are the same on the wire.
func valueFromProto(b []byte, present bool) []byte {
	switch {
	case !present:
		return nil
	case b == nil:
		return []byte{}
	}
	return b
}

// recordsToProto makes messages that point into records, which must not change while they are in use.
func recordsToProto(records []node.Record) []*chordv1.Record {
	list, room := make([]*chordv1.Record, len(records)), make([]recordMessage, len(records))
	for i := range records {
		list[i] = room[i].set(&records[i])
	}
	return list
}

// appendRecords reads the records of a message into a list that may already hold those of others.
func appendRecords(records []node.Record, list []*chordv1.Record) ([]node.Record, error) {
	if err := checkCount("records", len(list), maxItems); err != nil {
		return records, err
	}
	for _, m := range list {
		r, err := recordFromProto(m)
		if err != nil {
			return records, err
		}
		records = append(records, r)
	}
	return records, nil
}

func wantsToProto(wants []node.Want) []*chordv1.Want {
	list := make([]*chordv1.Want, len(wants))
	room := make([]struct {
		want chordv1.Want
		have chordv1.Version
	}, len(wants))
	for i, w := range wants {
		m := &room[i]
		m.want.Key, m.want.Have = w.Key, setVersion(&m.have, w.Have)
		m.want.Bare, m.want.Group, m.want.Request = w.Bare, w.Group, requestToProto(&wants[i].Request)
		list[i] = &m.want
	}
	return list
}

func wantsFromProto(list []*chordv1.Want) ([]node.Want, error) {
	if err := checkCount("wants", len(list), maxItems); err != nil {
		return nil, err
	}
	wants := make([]node.Want, len(list))
	for i, m := range list {
		if err := checkWireKey("wants.key", m.GetKey()); err != nil {
			return nil, err
		}
		request, err := requestFromProto("wants.request", m.GetRequest())
		if err != nil {
			return nil, err
		}
		wants[i] = node.Want{Key: m.GetKey(), Have: versionFromProto(m.GetHave()), Bare: m.GetBare(), Group: m.GetGroup(), Request: request}
	}
	return wants, nil
}

// maxEpoch leaves room above any epoch, so that nobody can claim something for ever.
const maxEpoch = 1<<63 - 1

const claimBytes = 2*len(ring.ID{}) + 8

// claimsToProto packs claims: with each write to a replica go some, and as messages they would be a twentieth of what a write costs.
func claimsToProto(claims []node.Claim) []byte {
	if len(claims) == 0 {
		return nil
	}
	b := make([]byte, 0, len(claims)*claimBytes)
	for i := range claims {
		c := &claims[i]
		b = append(append(b, c.Arc.After[:]...), c.Arc.Through[:]...)
		b = binary.BigEndian.AppendUint64(b, c.Epoch)
	}
	return b
}

func claimsFromProto(b []byte) ([]node.Claim, error) {
	if len(b)%claimBytes != 0 {
		return nil, badField("claims", "%d bytes, want %d for each", len(b), claimBytes)
	}
	if err := checkCount("claims", len(b)/claimBytes, maxArcs); err != nil || len(b) == 0 {
		return nil, err
	}
	claims := make([]node.Claim, len(b)/claimBytes)
	for i := range claims {
		c := &claims[i]
		b = b[copy(c.Arc.After[:], b):]
		b = b[copy(c.Arc.Through[:], b):]
		if c.Epoch, b = binary.BigEndian.Uint64(b), b[8:]; c.Epoch == 0 || c.Epoch > maxEpoch {
			return nil, badField("claims.epoch", "%d, want 1 to %d", c.Epoch, uint64(maxEpoch))
		}
	}
	return claims, nil
}

// foundToProto makes messages that point into found. It leaves the record out where there is none: the asker has it, or does not want it.
func foundToProto(found []node.Found) []*chordv1.Found {
	list := make([]*chordv1.Found, len(found))
	room := make([]struct {
		found   chordv1.Found
		version chordv1.Version
	}, len(found))
	for i := range found {
		m := &room[i]
		m.found.Version = setVersion(&m.version, found[i].Version)
		m.found.Epoch, m.found.Mine, m.found.Heard = found[i].Epoch, found[i].Mine, found[i].Heard
		if found[i].Given != (node.Version{}) {
			m.found.Given = versionToProto(found[i].Given)
		}
		if found[i].Owned != (ring.Arc{}) {
			m.found.Owned = arcToProto(found[i].Owned)
		}
		if len(found[i].Record.Key) > 0 {
			m.found.Record = new(recordMessage).set(&found[i].Record)
		}
		list[i] = &m.found
	}
	return list
}

func foundFromProto(list []*chordv1.Found) ([]node.Found, error) {
	if err := checkCount("found", len(list), maxItems); err != nil {
		return nil, err
	}
	found := make([]node.Found, len(list))
	for i, m := range list {
		found[i].Version = versionFromProto(m.GetVersion())
		found[i].Given = versionFromProto(m.GetGiven())
		found[i].Mine, found[i].Heard = m.GetMine(), m.GetHeard()
		if found[i].Epoch = m.GetEpoch(); found[i].Epoch > maxEpoch {
			return nil, badField("found.epoch", "%d, want at most %d", found[i].Epoch, uint64(maxEpoch))
		}
		if m.GetOwned() != nil {
			arc, err := arcFromProto("found.owned", m.Owned)
			if err != nil {
				return nil, err
			}
			found[i].Owned = arc
		}
		if m.GetRecord() == nil {
			continue
		}
		r, err := recordFromProto(m.Record)
		if err != nil {
			return nil, inField(err, "found")
		}
		found[i].Record = r
	}
	return found, nil
}

func summariesToProto(summaries []node.Summary) []*chordv1.Summary {
	list := make([]*chordv1.Summary, len(summaries))
	for i, s := range summaries {
		list[i] = &chordv1.Summary{Count: s.Count, Hash: s.Hash}
	}
	return list
}

func summariesFromProto(list []*chordv1.Summary) []node.Summary {
	summaries := make([]node.Summary, len(list))
	for i, m := range list {
		summaries[i] = node.Summary{Count: m.GetCount(), Hash: m.GetHash()}
	}
	return summaries
}

func entriesToProto(entries []node.Entry) []*chordv1.Entry {
	list := make([]*chordv1.Entry, len(entries))
	for i, e := range entries {
		list[i] = &chordv1.Entry{Key: e.Key, Version: versionToProto(e.Version)}
	}
	return list
}

func entriesFromProto(list []*chordv1.Entry) ([]node.Entry, error) {
	if err := checkCount("entries", len(list), maxItems); err != nil {
		return nil, err
	}
	entries := make([]node.Entry, len(list))
	for i, m := range list {
		if err := checkWireKey("entries.key", m.GetKey()); err != nil {
			return nil, err
		}
		entries[i] = node.Entry{Key: m.GetKey(), Version: versionFromProto(m.GetVersion())}
	}
	return entries, nil
}
