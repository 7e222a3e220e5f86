// SPDX-License-Identifier: Apache-2.0
#include <cstdio>
#include <systemc>

int sc_main(int, char*[]) {
    std::puts("mmusim " MMUSIM_VERSION);
    return 0;
}
