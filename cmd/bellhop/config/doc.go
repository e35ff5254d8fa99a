// Package config is the configuration of `bellhop local` and `bellhop remote`: one strict YAML file over defaults that
// stand in code. It must never open what the file names (sockets, tokens, certificates), and never hold a secret: the
// configuration has paths of secrets only.
//
//	Default(role) ─► Parse(file, role): yaml.Node ─► decoder (by field tags) ─► *Config, or every Problem at once
//	                                                     └─► Keys: the same tags are docs/configuration.md
//
// A field's tags are its whole rule: `yaml` is its key, `help` its meaning, `min` and `max` bound it, `oneof` lists its
// words, and `check` names a judge of its text.
package config
