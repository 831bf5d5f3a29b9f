package main

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// lineFormat is how a key and its value are written on a line of an import or export.
type lineFormat string

// The line formats.
const (
	// formatAuto is for import: the first line that is not empty decides.
	formatAuto lineFormat = "auto"
	// formatJSON is {"key":"...","value":"..."}; key_base64 and value_base64 stand in for what is not UTF-8. A key that expires has "expires" too, when in
	// RFC 3339. Other members are ignored.
	formatJSON lineFormat = "json"
	// formatTSV is KEY<TAB>VALUE, split at the first TAB, with the escapes \t \n \r \\ and \xHH for any byte.
	formatTSV lineFormat = "tsv"
	// formatKeys is for import: every line is a key, as it stands, and gets an empty value.
	formatKeys lineFormat = "keys"
)

// pair is what a line says.
type pair struct {
	key, value []byte
	manifest   bool  // the value is that of a large one, whose blocks have lines of their own
	expires    int64 // milliseconds since 1970, 0 for never
}

// jsonPair is a line of formatJSON. Of each two members one is set.
type jsonPair struct {
	Key         *string `json:"key,omitempty"`
	KeyBase64   *[]byte `json:"key_base64,omitempty"`
	Value       *string `json:"value,omitempty"`
	ValueBase64 *[]byte `json:"value_base64,omitempty"`
	Expires     *string `json:"expires,omitempty"`
	Manifest    bool    `json:"manifest,omitempty"`
}

// textOrBase64 returns b for a JSON member: as text if it is UTF-8, else for the member with base64.
func textOrBase64(b []byte) (text *string, raw *[]byte) {
	if utf8.Valid(b) {
		s := string(b)
		return &s, nil
	}
	return nil, &b
}

// detectFormat tells the format of a file by its first line.
func detectFormat(line []byte) (lineFormat, error) {
	if bytes.HasPrefix(bytes.TrimLeft(line, " \t"), []byte("{")) && json.Valid(line) {
		return formatJSON, nil
	}
	if bytes.IndexByte(line, '\t') >= 0 {
		return formatTSV, nil
	}
	return "", errors.New(`neither {"key":...,"value":...} nor KEY<TAB>VALUE; for a file of bare keys use --format keys`)
}

// parse reads one line, without its line end. The result shares no memory with it.
func (f lineFormat) parse(line []byte) (pair, error) {
	switch f {
	case formatJSON:
		return parseJSONLine(line, true)
	case formatTSV:
		return parseTSVLine(line)
	case formatKeys:
		return pair{key: bytes.Clone(line), value: []byte{}}, nil
	}
	panic("chord: cannot parse lines of format " + string(f))
}

// parseKey is parse for lines of which the key alone counts, and the rest may be missing.
func (f lineFormat) parseKey(line []byte) (pair, error) {
	switch f {
	case formatJSON:
		return parseJSONLine(line, false)
	case formatTSV:
		k, _, _ := bytes.Cut(bytes.TrimSuffix(line, []byte("\r")), []byte("\t"))
		key, err := unescape(k)
		return pair{key: key}, err
	}
	return f.parse(line)
}

// appendLine appends a line with its line end.
func (f lineFormat) appendLine(dst []byte, p pair) []byte {
	switch f {
	case formatJSON:
		var j jsonPair
		j.Key, j.KeyBase64 = textOrBase64(p.key)
		j.Value, j.ValueBase64 = textOrBase64(p.value)
		j.Expires = expiryText(p.expires)
		j.Manifest = p.manifest
		b := bytes.NewBuffer(dst)
		enc := json.NewEncoder(b)
		enc.SetEscapeHTML(false)
		if err := enc.Encode(j); err != nil {
			panic(err) // strings and bytes can always be encoded
		}
		return b.Bytes()
	case formatTSV:
		dst = appendEscaped(dst, p.key)
		dst = append(dst, '\t')
		dst = appendEscaped(dst, p.value)
		return append(dst, '\n')
	}
	panic("chord: cannot write lines of format " + string(f))
}

func parseJSONLine(line []byte, wantValue bool) (pair, error) {
	// encoding/json would quietly turn what is not UTF-8 into U+FFFD, and store another key than the file says.
	if !utf8.Valid(line) {
		return pair{}, errors.New("JSON must be UTF-8: use key_base64 or value_base64 for other bytes")
	}
	var j jsonPair
	if err := json.Unmarshal(line, &j); err != nil {
		return pair{}, fmt.Errorf("not a JSON object with key and value: %w", err)
	}
	key, err := oneOf("key", j.Key, j.KeyBase64)
	if err != nil {
		return pair{}, err
	}
	var value []byte
	if wantValue {
		if value, err = oneOf("value", j.Value, j.ValueBase64); err != nil {
			return pair{}, err
		}
	}
	if replaced(line, key) || replaced(line, value) {
		return pair{}, errors.New(`half a surrogate pair (\ud800 to \udfff) is no character: use key_base64 or value_base64`)
	}
	expires, err := parseExpiry(j.Expires)
	return pair{key, value, j.Manifest, expires}, err
}

func oneOf(name string, text *string, raw *[]byte) ([]byte, error) {
	switch {
	case text != nil && raw != nil:
		return nil, fmt.Errorf("both %s and %s_base64", name, name)
	case text != nil:
		return []byte(*text), nil
	case raw != nil:
		return *raw, nil
	}
	return nil, fmt.Errorf("no member %q or %q", name, name+"_base64")
}

const replacementChar = "\uFFFD"

// replaced reports whether decoding brought in a U+FFFD that the line does not contain: half a surrogate pair.
func replaced(line, decoded []byte) bool {
	if !bytes.Contains(decoded, []byte(replacementChar)) {
		return false
	}
	return !bytes.Contains(line, []byte(replacementChar)) && !strings.Contains(strings.ToLower(string(line)), `\ufffd`)
}

func parseTSVLine(line []byte) (pair, error) {
	// A CR at the end is a line end made on Windows; one that belongs to the value is written \r.
	line = bytes.TrimSuffix(line, []byte("\r"))
	k, v, ok := bytes.Cut(line, []byte("\t"))
	if !ok {
		return pair{}, errors.New("no TAB between key and value")
	}
	key, err := unescape(k)
	if err != nil {
		return pair{}, fmt.Errorf("key: %w", err)
	}
	value, err := unescape(v)
	if err != nil {
		return pair{}, fmt.Errorf("value: %w", err)
	}
	return pair{key: key, value: value}, nil
}

// appendEscaped writes what would break a line, what a terminal would act on and what is not UTF-8 as escapes.
func appendEscaped(dst, b []byte) []byte {
	for len(b) > 0 {
		r, size := utf8.DecodeRune(b)
		switch {
		case r == '\\':
			dst = append(dst, `\\`...)
		case r == '\t':
			dst = append(dst, `\t`...)
		case r == '\n':
			dst = append(dst, `\n`...)
		case r == '\r':
			dst = append(dst, `\r`...)
		case r < ' ' || r == 0x7f || r == utf8.RuneError && size == 1:
			dst = append(dst, `\x`...)
			dst = hex.AppendEncode(dst, b[:1])
		default:
			dst = append(dst, b[:size]...)
		}
		b = b[size:]
	}
	return dst
}

func unescape(b []byte) ([]byte, error) {
	i := bytes.IndexByte(b, '\\')
	if i < 0 {
		return bytes.Clone(b), nil
	}
	out := make([]byte, 0, len(b))
	for ; i >= 0; i = bytes.IndexByte(b, '\\') {
		out = append(out, b[:i]...)
		b = b[i+1:]
		if len(b) == 0 {
			return nil, errors.New(`a single backslash at the end: write \\`)
		}
		c := b[0]
		b = b[1:]
		switch c {
		case '\\':
			out = append(out, '\\')
		case 't':
			out = append(out, '\t')
		case 'n':
			out = append(out, '\n')
		case 'r':
			out = append(out, '\r')
		case 'x':
			if len(b) < 2 {
				return nil, errors.New(`\x wants two hexadecimal digits`)
			}
			var err error
			if out, err = hex.AppendDecode(out, b[:2]); err != nil {
				return nil, fmt.Errorf(`\x%s: want two hexadecimal digits`, b[:2])
			}
			b = b[2:]
		default:
			return nil, fmt.Errorf(`unknown escape \%c: a backslash is written \\`, c)
		}
	}
	return append(out, b...), nil
}
