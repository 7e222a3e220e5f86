// SPDX-License-Identifier: Apache-2.0
// CMake accepts no library without a source; goes away with the first real one.
