// Package config is the settings of the program: flags, HOSTER_HA_*
// environment variables and one YAML file, in this order of precedence, and
// their validation.
//
// Promised: an unknown key, a value that does not fit, or a section that is
// wrong is one error that names it. Not promised: that what the settings name
// (a folder, a program) exists.
package config
