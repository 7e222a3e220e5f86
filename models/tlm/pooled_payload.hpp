// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <tlm>
#include <vector>

namespace mmusim::models {

/// Payloads with one extension of type E attached for good, lent out one at a time per nested
/// call. Neither is constructed on the path of an access: a set-up costs a few stores.
template <class E>
class PayloadPool {
public:
    /// A payload on loan; goes back to the pool at the end of the scope.
    class Loan {
    public:
        explicit Loan(PayloadPool& pool) : pool_(pool), entry_(pool.borrow()) {}
        ~Loan() { --pool_.lent_; }
        Loan(const Loan&) = delete;
        Loan& operator=(const Loan&) = delete;

        tlm::tlm_generic_payload& payload() { return entry_.payload; }
        E& extension() { return entry_.extension; }

    private:
        PayloadPool& pool_;
        typename PayloadPool::Entry& entry_;
    };

private:
    struct Entry {
        Entry() { payload.set_extension(&extension); }
        ~Entry() { payload.clear_extension(&extension); }
        E extension;
        tlm::tlm_generic_payload payload;
    };

    Entry& borrow() {
        if (lent_ == entries_.size()) entries_.push_back(std::make_unique<Entry>());
        Entry& entry = *entries_[lent_++];
        entry.payload.set_response_status(tlm::TLM_INCOMPLETE_RESPONSE);
        return entry;
    }

    std::vector<std::unique_ptr<Entry>> entries_;
    std::size_t lent_ = 0;
};

/// The extension that the protocol of the socket demands. Its absence is a broken binding.
template <class E>
E& extension_of(tlm::tlm_generic_payload& trans, const char* module) {
    E* extension = trans.get_extension<E>();
    if (!extension) SC_REPORT_ERROR(module, "payload without the extension of this socket");
    return *extension;
}

}  // namespace mmusim::models
