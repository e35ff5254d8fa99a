module github.com/bellhop-mesh/bellhop

go 1.26.0
