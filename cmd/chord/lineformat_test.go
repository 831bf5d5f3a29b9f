package main

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
)

// awkward are bytes that some format of the kind has mangled somewhere.
var awkward = []string{
	"plain", "", " leading and trailing ", "tab\there", "new\nline", "cr\rhere", "ends with cr\r", `back\slash`, `\t`, `\x41`, "nul\x00byte",
	"\xff\xfe not UTF-8", "half \xe2\x82", "ümlaut 漢字 🙂", "\uFFFD", "<html>&amp;", "\u2028", "\x1b[31mred", "\x7f", `{"key":1}`, `"quoted"`,
}

func TestLineFormatsRoundTrip(t *testing.T) {
	for _, format := range []lineFormat{formatJSON, formatTSV} {
		for _, k := range awkward {
			for _, v := range awkward {
				line := format.appendLine(nil, pair{key: []byte(k), value: []byte(v)})
				if i := bytes.IndexByte(line, '\n'); i != len(line)-1 {
					t.Fatalf("%s: %q, %q: written as %q, want one line", format, k, v, line)
				}
				got, err := format.parse(line[:len(line)-1])
				if err != nil {
					t.Fatalf("%s: parse %q: %v", format, line, err)
				}
				if string(got.key) != k || string(got.value) != v {
					t.Errorf("%s: got %q, %q; want %q, %q (line %q)", format, got.key, got.value, k, v, line)
				}
			}
		}
	}
}

func FuzzTSVRoundTrip(f *testing.F) {
	for _, s := range awkward {
		f.Add([]byte(s), []byte(s))
	}
	f.Fuzz(func(t *testing.T, k, v []byte) {
		for _, format := range []lineFormat{formatJSON, formatTSV} {
			line := format.appendLine(nil, pair{key: k, value: v})
			got, err := format.parse(line[:len(line)-1])
			if err != nil || !bytes.Equal(got.key, k) || !bytes.Equal(got.value, v) {
				t.Fatalf("%s: %q, %q became %q, %q, error %v", format, k, v, got.key, got.value, err)
			}
		}
	})
}

func TestLineFormatErrors(t *testing.T) {
	for _, tc := range []struct {
		format lineFormat
		line   string
		want   string // part of the error
	}{
		{formatTSV, "no tab", "no TAB"},
		{formatTSV, "a\\qb\tv", `unknown escape \q`},
		{formatTSV, "k\tv\\", "single backslash at the end"},
		{formatTSV, "k\tv\\x4", "two hexadecimal digits"},
		{formatTSV, "k\tv\\xzz", "two hexadecimal digits"},
		{formatJSON, `{"key":"k"}`, `no member "value"`},
		{formatJSON, `{"value":"k"}`, `no member "key"`},
		{formatJSON, `{"key":"k","key_base64":"aw==","value":""}`, "both key and key_base64"},
		{formatJSON, `{"key":"k","value":3}`, "not a JSON object"},
		{formatJSON, `["k","v"]`, "not a JSON object"},
		{formatJSON, `{"key":"k","value":"v"} x`, "not a JSON object"},
		{formatJSON, `{"key_base64":"!","value":"v"}`, "not a JSON object"},
		{formatJSON, "{\"key\":\"\xff\",\"value\":\"v\"}", "must be UTF-8"},
		{formatJSON, `{"key":"\ud800","value":"v"}`, "surrogate"},
	} {
		_, err := tc.format.parse([]byte(tc.line))
		if err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: parse %q: got error %v, want one with %q", tc.format, tc.line, err, tc.want)
		}
	}
}

func TestLineFormatTolerates(t *testing.T) {
	for _, tc := range []struct {
		format     lineFormat
		line       string
		key, value string
	}{
		{formatTSV, "k\tv\r", "k", "v"},
		{formatTSV, "k\ta\tb", "k", "a\tb"},
		{formatTSV, "k\t", "k", ""},
		{formatJSON, ` {"value":"v", "version":"1", "key":"k"} `, "k", "v"},
		{formatJSON, `{"key":"\ufffd","value":""}`, "\uFFFD", ""},
		{formatJSON, `{"key":"k","value_base64":""}`, "k", ""},
		{formatKeys, `any\thing`, `any\thing`, ""},
	} {
		got, err := tc.format.parse([]byte(tc.line))
		if err != nil || string(got.key) != tc.key || string(got.value) != tc.value {
			t.Errorf("%s: parse %q: got %q, %q, error %v; want %q, %q", tc.format, tc.line, got.key, got.value, err, tc.key, tc.value)
		}
	}
}

func TestDetectFormat(t *testing.T) {
	for line, want := range map[string]lineFormat{
		`{"key":"k","value":"v"}`: formatJSON,
		"k\tv":                    formatTSV,
		"{not json\tv":            formatTSV,
		"a word":                  "",
	} {
		if got, err := detectFormat([]byte(line)); got != want || (err == nil) != (want != "") {
			t.Errorf("detectFormat(%q): got %q, error %v; want %q", line, got, err, want)
		}
	}
}

// TestJSONLinesAreJSON holds the writer against encoding/json's idea of an object.
func TestJSONLinesAreJSON(t *testing.T) {
	line := formatJSON.appendLine(nil, pair{key: []byte("k\xff"), value: []byte("v")})
	var m map[string]any
	if err := json.Unmarshal(line, &m); err != nil {
		t.Fatal(err)
	}
	if got, want := m["key_base64"], "a/8="; got != want {
		t.Errorf("key_base64: got %v, want %v", got, want)
	}
	if got, want := m["value"], "v"; got != want {
		t.Errorf("value: got %v, want %v", got, want)
	}
}
