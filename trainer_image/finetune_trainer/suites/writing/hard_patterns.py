"""Harder tellings for generated datasets: several units in one text, results to be computed, losses, mixed signals."""

from __future__ import annotations

from finetune_trainer.suites.writing import table

EPS_PROFITS = table.rows(
    """
{company} shows net income of ${net_income_thousand} thousand and {shares} million diluted shares for {year}.
Net income at {company} was ${net_income} million; the diluted count, in thousands, was {shares_thousand}.
{company}: ${net_income_billion} billion of profit, {shares} million diluted shares, adjusted EPS ${adjusted_eps}.
In thousands: net income {net_income_thousand}, diluted shares {shares_thousand}. Signed by the auditors of {company}.
Beside cash of ${cash} million, {company} shows net income of ${net_income} million; diluted shares, {shares} million.
{company} gives three figures a share: basic ${basic_eps}, diluted ${eps}, adjusted ${adjusted_eps}.
After ${prior_eps}, {company} promised ${guided_eps} a diluted share; it became ${eps}, or ${adjusted_eps} adjusted.
Neither the ${consensus_eps} hoped for nor the ${guided_eps} promised: {company} made ${eps} a diluted share.
From a loss of ${prior_eps} a diluted share in {prior_year}, {company} came back to a profit of ${eps} in {year}.
{company} calls ${adjusted_eps} a share cash earnings; diluted GAAP earnings were ${eps}, the dividend ${dividend}.
"""
)

EPS_LOSSES = table.rows(
    """
{company} lost ${net_income_thousand} thousand in {year} on {shares} million diluted shares.
Net result of {company}: (${net_income}) million. Diluted shares, in thousands: {shares_thousand}.
Adjusted EPS at {company} was ${adjusted_eps}, yet GAAP knows only a diluted loss of ${eps} a share.
Basic and diluted EPS of {company} are both ({eps}); in {prior_year} they were {prior_eps}.
Where analysts had hoped for a profit of ${consensus_eps} a share, {company} reports a diluted one of minus ${eps}.
After a diluted loss of ${eps} a share, before it one of ${prior_eps}, {company} hopes for a profit of ${guided_eps}.
A deficit of ${net_income_billion} billion over {shares} million diluted shares is what {year} left at {company}.
"""
)

REVENUE = table.rows(
    """
{company} booked ${now_billion} billion after ${before_million} million in the year before.
From ${before_billion} billion of revenue in {prior_year}, {company} came to ${now_million} million in {year}.
In thousands of dollars, {company} had sales of {now_thousand} this year and {before_thousand} in the last one.
{company} turned over {now_thousand} thousand dollars in {year}, having turned over ${before} million in {prior_year}.
{company}: orders ${prior_revenue} million, costs ${cost} million, revenue ${now} million against ${before} million.
{company} had hoped for ${guidance} million in {year}. It took in ${now} million, after ${before} million before.
At {company}, {two_years_before}: ${prior_revenue} million; {prior_year}: ${before} million; {year}: ${now} million.
{company} deferred ${cash} million of revenue. Recognised were ${now} million, last time ${before} million.
One customer paid {company} ${amount} million. All together paid ${now} million; the year before, ${before} million.
{company} kept ${profit} million of its ${now} million of sales, and {percent}% of last year's ${before} million.
{company}: backlog {percent}% higher, revenue ${before} million in {prior_year} and ${now} million in {year}.
"""
)

MIXED_SENTIMENT = table.groups(
    """
Sales at {company} slipped {percent}% after it sold a division, yet profit doubled and the dividend was raised.
Sales at {company} rose {percent}%, yet every sale lost money and the dividend was scrapped.
Sales at {company} rose in one region as much as they fell in another, and its forecast is the same as before.

A recall cost {company} ${amount} million, less than half of what it had set aside, and the rest goes to its owners.
The recall at {company} is over, but it cost ${amount} million more than was set aside and its lenders want new terms.
A recall cost {company} ${amount} million, exactly what its insurers had paid in beforehand.

{company} lost its finance chief and found a better known one within a week; the shares gained {percent}%.
{company} praised its new finance chief, who then found that profit had been overstated by ${amount} million.
{company} swapped its finance chief and its head of sales, who take over each other's duties as planned.

Though {company} closed {count} sites, the ones that are left earn more than all of them did before.
Though {company} opened {count} sites, none of them pays its rent and the old ones now lose money too.
{company} closed {count} sites and opened {count} others nearby, with the same staff and the same sales.

Higher wages cost {company} ${amount} million, but higher prices brought in three times as much and no customer left.
Higher prices brought {company} ${amount} million, but half of its customers left and the rest have given notice.
Higher wages cost {company} ${amount} million and higher prices brought in the same ${amount} million.

The fine for {company} is ${amount} million, far below what had been feared, and the case is closed for good.
The fine for {company} was lifted, but the court revoked the licence on which most of its profit rests.
The fine for {company} of ${amount} million was known since last year and is paid from a fund kept for it.

Debt at {company} grew by ${amount} million to pay for a rival that already doubles its earnings.
Debt at {company} shrank by ${amount} million, because it had to sell its only profitable unit.
{company} took up ${amount} million of debt to repay ${amount} million that fell due, at the same rate.

Margins at {company} narrowed a little while volumes soared, so that profit came in {percent}% above all estimates.
Margins at {company} widened a little while volumes collapsed, so that profit came in {percent}% below all estimates.
Margins at {company} narrowed as much as volumes grew, and profit met the estimates to the dollar.
"""
)
"""Each group told as good, bad and neither, with signals that point both ways."""
