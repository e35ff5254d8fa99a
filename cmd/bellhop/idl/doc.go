// Package idl reads Thrift IDL files for `bellhop call`.
package idl
