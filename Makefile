# make help lists everything.
SHELL := /bin/bash
.DEFAULT_GOAL := help
