"""Forty ways of telling earnings per share. A loss is told by its size: the sentence carries the sign."""

from __future__ import annotations

from finetune_trainer.suites.writing import table

PROFITS = table.rows(
    """
# Told outright, with other figures around.
{company} earned ${eps} per diluted share in the {quarter} quarter of {year} on revenue of ${revenue} million.
Diluted earnings per share at {company} came to ${eps} for fiscal {year}, the company said in its annual report.
For the three months just ended, {company} posted GAAP diluted EPS of ${eps} and sales of ${revenue} million.
{company}: {quarter}-quarter net income per diluted share ${eps}; free cash flow ${cash} million.
Profit at {company} worked out at ${eps} a share, fully diluted, after a tax rate of {percent}%.
The {year} income statement of {company} ends with diluted earnings of ${eps} per common share.
Investors in {company} saw quarterly diluted EPS of ${eps}; the board declared a dividend of ${dividend} per share.
Basic EPS was ${basic_eps} and diluted EPS ${eps} at {company} in the {quarter} quarter.
{company}, whose shares trade at ${price}, reported {quarter}-quarter diluted earnings of ${eps} per share.

# Last year's, the analysts' or next quarter's figure as a decoy.
{company} reported diluted EPS of ${eps} for the {quarter} quarter, against ${prior_eps} a year earlier.
A year ago {company} had earned ${prior_eps} per diluted share; this {quarter} quarter it was ${eps}.
Diluted EPS: ${eps} in {year}, ${prior_eps} in {prior_year}, according to the annual filing of {company}.
From ${prior_eps} in {prior_year}, the diluted earnings per share of {company} moved to ${eps} in {year}.
The comparable {prior_year} figure was ${prior_eps}, but for {year} diluted EPS at {company} is ${eps}.
{company}, this year / last year: revenue ${revenue}m / ${prior_revenue}m, diluted EPS ${eps} / ${prior_eps}.
While {prior_year} brought {company} ${prior_eps} per diluted share, the year {year} closed at ${eps}.
Analysts had pencilled in ${consensus_eps}; {company} delivered diluted EPS of ${eps} for the {quarter} quarter.
{company} guided to ${guided_eps} per diluted share for next quarter after earning ${eps} in this one.

# Non-GAAP decoys.
Adjusted EPS of {company} was ${adjusted_eps}; under GAAP, diluted EPS was ${eps}.
{company} posted GAAP diluted EPS of ${eps}, or ${adjusted_eps} excluding restructuring costs, for the quarter.
Leaving out stock compensation, {company} made ${adjusted_eps} a share; as reported, the diluted figure is ${eps}.
The headline of ${adjusted_eps} per share at {company} is non-GAAP. The audited {year} diluted EPS is ${eps}.
Core earnings ${adjusted_eps} a share, GAAP diluted earnings ${eps} a share: so ended {year} for {company}.

# To be computed.
{company} had net income of ${net_income} million in {year} and {shares} million diluted shares.
With {shares} million diluted shares outstanding, {company} made a net profit of ${net_income} million.
Net income attributable to {company} was ${net_income} million; the diluted share count averaged {shares} million.
{company} earned ${net_income} million after tax on sales of ${revenue} million. Diluted shares: {shares} million.
Diluted average shares {shares} million, net income ${net_income} million, says the {year} release of {company}.
"""
)

LOSSES = table.rows(
    """
{company} reported a {quarter}-quarter loss of ${eps} per diluted share.
Diluted earnings per share of {company} for {year}: $({eps}).
Net loss per share, basic and diluted, was (${eps}) at {company} on revenue of ${revenue} million.
{company} lost ${eps} a share in {year} as it wrote down inventory worth ${charge} million.
After a goodwill charge, {company} ended the {quarter} quarter with diluted EPS of -${eps}.
{company} swung to a loss of ${eps} per diluted share from a profit of ${prior_eps} a year before.
The loss per diluted share at {company} was ${eps} in {year} after a loss of ${prior_eps} in {prior_year}.
{company}, still burning cash, recorded a diluted loss per share of ${eps}; cash stood at ${cash} million.
GAAP diluted EPS ({eps}), prior year {prior_eps}: so reads the summary that {company} filed for {year}.
{company} earned ${adjusted_eps} per share before one-off items, but a GAAP diluted loss of ${eps} after them.
{company} closed {year} with a net loss of ${net_income} million, spread over {shares} million diluted shares.
On {shares} million diluted shares, {company} booked a {quarter}-quarter net loss of ${net_income} million.
"""
)

TRAINING_PROFITS = table.rows(
    """
In its {quarter} quarter {company} generated ${eps} of diluted earnings for each share.
{company} closed the books on {year}: operating margin {percent}%, diluted EPS ${eps}.
Holders of {company} stock can point to ${eps} of diluted profit per share; the payout was ${dividend}.
Diluted EPS stood at ${eps} this quarter; twelve months before, {company} had reported ${prior_eps}.
Last year's ${prior_eps} per diluted share gave way to ${eps} at {company} in {year}.
Same quarter last year ${prior_eps}, current quarter ${eps}: that is the diluted EPS record of {company}.
The street wanted ${consensus_eps} but {company} printed ${eps} in diluted EPS.
{company} booked ${net_income} million of net income; {shares} million diluted shares were outstanding.
Diluted shares of {company} numbered {shares} million in {year}, when net earnings were ${net_income} million.
{company} likes to quote ${adjusted_eps} per share before special items; GAAP says ${eps}, diluted.
In the {quarter} quarter {company} had pro forma EPS of ${adjusted_eps} and GAAP diluted EPS of ${eps}.
"""
)

TRAINING_LOSSES = table.rows(
    """
{company} disclosed that it lost ${eps} for every diluted share in {year}.
Fully diluted EPS at {company} was (${eps}) in the {quarter} quarter.
Red ink at {company}: minus ${eps} per diluted share, compared with ${prior_eps} the year before.
A net loss of ${net_income} million hit {company}, which counts {shares} million diluted shares.
Per diluted share, the {year} deficit of {company} amounts to ${eps}.
"""
)
