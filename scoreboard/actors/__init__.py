"""Actors: classes whose state changes while their code waits. None of them imports an implementation of a store."""
