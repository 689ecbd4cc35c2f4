// Writes test/golden/ring.json: `build/test/release/shm/ring_golden_main > test/golden/ring.json`.
#include <iostream>

#include "test/shm/golden.h"

int main() { std::cout << tsf::shm::test::golden_ring_json(); }
