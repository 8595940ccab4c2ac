#include "site_kind.h"

const struct site_kind *const site_kinds[] = {
    &site_native,
    &site_call,
    &site_code,
    &site_plain,
};

const size_t n_site_kinds = sizeof(site_kinds) / sizeof(site_kinds[0]);
