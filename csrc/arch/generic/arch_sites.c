#include "arch.h"

const struct arch_sites *const arch_sites = NULL;
