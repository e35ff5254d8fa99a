package main

func tables(measured, plan) string { return "" }
