" SPDX-License-Identifier: Apache-2.0
" fairlead.vim - syntax of fairlead.conf(5); made by man/gen.py from the directive table
if exists("b:current_syntax")
  finish
endif
syn iskeyword @,48-57,_,-,.
syn match fairleadComment /\%(^\|[[:space:]{};]\)\@1<=#.*$/
syn region fairleadString start=/"/ skip=/\\./ end=/"/ oneline contains=fairleadVariable
syn region fairleadString start=/`/ end=/`/
syn match fairleadVariable /\${[^}]*}/
syn match fairleadNumber /\<\d\+\%(\.\d\+\)\?\%(us\|ms\|[smhdkg]\|[kmg]bit\)\?\>/
syn keyword fairleadValue 1.2 1.3 2 3 4 abort aligned auto
syn keyword fairleadValue body both bytes combined consolidated cpu custom debug
syn keyword fairleadValue default drain early err from full http http/1.1
syn keyword fairleadValue info jhash json kernel least-connection least-load local maint
syn keyword fairleadValue none off on optional ping port quick ready
syn keyword fairleadValue redirect refuse reject required respond rfc7239 round-robin rss
syn keyword fairleadValue rules serve shared source-ip-hash staggered status tcp to
syn keyword fairleadValue toeplitz trust udp use vserver warn when x-forwarded
syn keyword fairleadDirective access-log alpn backlog backup body-rate body-timeout buffer-memory buffer-response
syn keyword fairleadDirective ca cert ciphers ciphersuites client-ca client-verify congestion connect-timeout
syn keyword fairleadDirective consolidate control-core core cores default device distribute drain-generations
syn keyword fairleadDirective drain-timeout error-log every expect fall flow forwarded groups
syn keyword fairleadDirective half-close hash head-timeout heartbeat-timeout host http idle-max idle-timeout
syn keyword fairleadDirective include keepalive-max key-share-check listen max-body max-connections max-fields max-head
syn keyword fairleadDirective max-objects max-request-line method min-version ocsp policy port protocol
syn keyword fairleadDirective rebalance redirect reject remove-header remove-response-header request-id resolver respond
syn keyword fairleadDirective response-timeout responses retries rise send service set-header set-response-header
syn keyword fairleadDirective shutdown-grace sni socket state ticket-keys ticket-lifetime tickets timeout
syn keyword fairleadDirective tls trust-forwarded tuple unknown-sni upgrade use user verify
syn keyword fairleadDirective via view weight workers
syn keyword fairleadObject admin monitor pool vserver
hi def link fairleadComment Comment
hi def link fairleadString String
hi def link fairleadVariable Identifier
hi def link fairleadNumber Number
hi def link fairleadValue Constant
hi def link fairleadDirective Keyword
hi def link fairleadObject Structure
let b:current_syntax = "fairlead"
