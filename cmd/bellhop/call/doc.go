// Package call is `bellhop call`: one call of a method from the command line, with or without its IDL.
package call
