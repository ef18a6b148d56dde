package persistence

import (
	"fmt"
	"strings"
)

// MaxKey is the longest key, in bytes.
const MaxKey = 512

// CheckKey refuses what is not a plain slash path of names made of ASCII
// letters, digits, dot, underscore, dash, colon, at and plus. A name never
// begins with a dot: those are the backends' own.
func CheckKey(key string) error {
	if key == "" || len(key) > MaxKey {
		return fmt.Errorf("key %q: 1 to %d bytes are allowed", key, MaxKey)
	}
	for name := range strings.SplitSeq(key, "/") {
		if err := CheckName(name); err != nil {
			return fmt.Errorf("key %q: %w", key, err)
		}
	}
	return nil
}

// CheckName refuses what cannot be one name within a key, such as a node's.
func CheckName(name string) error {
	if name == "" {
		return fmt.Errorf("empty name")
	}
	if len(name) > 128 {
		return fmt.Errorf("name %q is longer than 128 bytes", name)
	}
	if name[0] == '.' {
		return fmt.Errorf("name %q begins with a dot", name)
	}
	for _, r := range name {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9':
		case strings.ContainsRune("._-:@+", r):
		default:
			return fmt.Errorf("name %q: the character %q is not allowed", name, r)
		}
	}
	return nil
}

// CheckValue refuses what a store could not give back byte for byte.
func CheckValue(value []byte) error {
	if len(value) == 0 || len(value) > MaxValue {
		return fmt.Errorf("value of %d bytes: 1 to %d are allowed", len(value), MaxValue)
	}
	switch value[len(value)-1] {
	case 0, ' ', '\n', '\r', '\t':
		return fmt.Errorf("value ends in white space or NUL")
	}
	return nil
}
